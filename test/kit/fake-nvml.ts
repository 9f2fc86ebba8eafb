/** A stand-in for NVIDIA's management library, built by the C compiler of the machine. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

export const HAS_COMPILER = Bun.which('gcc') !== null

/** Two GPUs: the first knows all, the second nothing but its name. The values are what the tests look for. */
const SOURCE = `
#include <string.h>
#include <unistd.h>
typedef unsigned long long u64;
static int gpu(u64 device) { return (int)(device - 100); }
int nvmlInit_v2(void) { return INIT_CODE; }
int nvmlDeviceGetCount_v2(unsigned *count) { if (HANGS) sleep(3600); *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, u64 *device) { *device = 100 + index; return 0; }
int nvmlDeviceGetUUID(u64 device, char *text, unsigned length) {
  strncpy(text, gpu(device) == 0 ? "GPU-first" : "GPU-second", length);
  return 0;
}
int nvmlDeviceGetUtilizationRates(u64 device, unsigned *out) {
  if (gpu(device) == 1) return 3;
  out[0] = 37; out[1] = 12;
  return 0;
}
int nvmlDeviceGetMemoryInfo(u64 device, u64 *out) {
  if (gpu(device) == 1) return 3;
  out[0] = 8000000000ULL; out[1] = 5000000000ULL; out[2] = 3000000000ULL;
  return 0;
}
int nvmlDeviceGetPowerUsage(u64 device, unsigned *out) { *out = 45500; return gpu(device) == 0 ? 0 : 3; }
int nvmlDeviceGetEnforcedPowerLimit(u64 device, unsigned *out) { *out = 70000; return gpu(device) == 0 ? 0 : 3; }
int nvmlDeviceGetTemperature(u64 device, unsigned sensor, unsigned *out) { *out = 61; return gpu(device) + (int)sensor == 0 ? 0 : 3; }
int nvmlDeviceGetClockInfo(u64 device, unsigned type, unsigned *out) { *out = 1410; return gpu(device) + (int)type == 0 ? 0 : 3; }
int nvmlDeviceGetCurrentClocksThrottleReasons(u64 device, u64 *out) { *out = 0x24; return gpu(device) == 0 ? 0 : 3; }
int nvmlDeviceGetTotalEnergyConsumption(u64 device, u64 *out) { *out = 123456; return gpu(device) == 0 ? 0 : 3; }
`

/** The folder it is in, for LD_LIBRARY_PATH; its name is the real one's. */
export async function buildFakeNvml(folder: string, options: { initCode?: number; hangs?: boolean } = {}) {
  await mkdir(folder, { recursive: true })
  const path = join(folder, 'libnvidia-ml.so.1')
  const flags = [`-DINIT_CODE=${options.initCode ?? 0}`, `-DHANGS=${options.hangs ? 1 : 0}`]
  const gcc = Bun.spawn(['gcc', '-shared', '-fPIC', ...flags, '-x', 'c', '-o', path, '-'], {
    stdin: Buffer.from(SOURCE),
    stderr: 'inherit',
  })
  if ((await gcc.exited) !== 0) throw new Error('gcc failed: see above')
  return { folder, path }
}
