import { dlopen } from 'bun:ffi'
import type { GpuReading, GpuSample } from './gpu-sample.ts'

/**
 * NVIDIA's management library, as far as it is read here (NVML API reference, "Device Queries"). Every function
 * returns an nvmlReturn_t, 0 for success; a board that does not have a value says NOT_SUPPORTED.
 */
const SYMBOLS = {
  nvmlInit_v2: { args: [], returns: 'i32' },
  nvmlDeviceGetCount_v2: { args: ['ptr'], returns: 'i32' },
  nvmlDeviceGetHandleByIndex_v2: { args: ['u32', 'ptr'], returns: 'i32' },
  nvmlDeviceGetUUID: { args: ['u64', 'ptr', 'u32'], returns: 'i32' },
  nvmlDeviceGetUtilizationRates: { args: ['u64', 'ptr'], returns: 'i32' },
  nvmlDeviceGetMemoryInfo: { args: ['u64', 'ptr'], returns: 'i32' },
  nvmlDeviceGetPowerUsage: { args: ['u64', 'ptr'], returns: 'i32' },
  nvmlDeviceGetEnforcedPowerLimit: { args: ['u64', 'ptr'], returns: 'i32' },
  nvmlDeviceGetTotalEnergyConsumption: { args: ['u64', 'ptr'], returns: 'i32' },
} as const

/** Libraries differ in these: one that lacks them has its other figures all the same. */
const MORE_SYMBOLS = {
  nvmlDeviceGetTemperature: { args: ['u64', 'u32', 'ptr'], returns: 'i32' },
  nvmlDeviceGetClockInfo: { args: ['u64', 'u32', 'ptr'], returns: 'i32' },
  nvmlDeviceGetCurrentClocksThrottleReasons: { args: ['u64', 'ptr'], returns: 'i32' },
} as const
/** NVML_TEMPERATURE_GPU and NVML_CLOCK_GRAPHICS. */
const [TEMPERATURE_GPU, CLOCK_GRAPHICS] = [0, 0] as const

export const NVML_LIBRARY = 'libnvidia-ml.so.1'

const UUID_BYTES = 96
/** More than any host has; a count beyond it is not believed. */
const GPUS_MAX = 64
const SUCCESS = 0

type Functions = ReturnType<typeof dlopen<typeof SYMBOLS>>['symbols']
type MoreFunctions = ReturnType<typeof dlopen<typeof MORE_SYMBOLS>>['symbols']
type Query = (device: bigint, out: BigUint64Array) => number

/** Opens the library; each sample then asks every GPU anew. Its calls can take long, or hang with the driver. */
export function openNvml(library: string): { sample: () => GpuReading } | { problem: string } {
  let nvml: Functions
  try {
    nvml = dlopen(library, SYMBOLS).symbols
  } catch (error) {
    return { problem: `Cannot open "${library}": ${error instanceof Error ? error.message : String(error)}` }
  }
  const code = nvml.nvmlInit_v2()
  if (code !== SUCCESS) return { problem: `Cannot start "${library}": nvmlInit_v2 says ${code}, expected 0` }
  const more = openMore(library)
  return { sample: () => sampleAll(nvml, more) }
}

function openMore(library: string): MoreFunctions | undefined {
  try {
    return dlopen(library, MORE_SYMBOLS).symbols
  } catch {
    return undefined
  }
}

function sampleAll(nvml: Functions, more: MoreFunctions | undefined): GpuReading {
  const out = new BigUint64Array(1)
  const code = nvml.nvmlDeviceGetCount_v2(out)
  if (code !== SUCCESS)
    return { problem: `Cannot count GPUs: nvmlDeviceGetCount_v2 says ${code}, expected 0` }
  const count = Math.min(lowWord(out), GPUS_MAX)
  const gpus: GpuSample[] = []
  for (let index = 0; index < count; index += 1) {
    const gpu = sampleOne(nvml, { more, index })
    if (gpu !== undefined) gpus.push(gpu)
  }
  return { gpus }
}

/** Undefined for a GPU that has fallen off the bus. */
function sampleOne(
  nvml: Functions,
  { more, index }: { more: MoreFunctions | undefined; index: number },
): GpuSample | undefined {
  const handle = new BigUint64Array(1)
  if (nvml.nvmlDeviceGetHandleByIndex_v2(index, handle) !== SUCCESS) return undefined
  const device = handle[0] ?? 0n
  const text = new Uint8Array(UUID_BYTES)
  if (nvml.nvmlDeviceGetUUID(device, text, UUID_BYTES) !== SUCCESS) return undefined
  // nvmlUtilization_t is two u32, gpu and memory, in percent; nvmlMemory_t three u64: total, free, used.
  const utilization = ask(nvml.nvmlDeviceGetUtilizationRates as Query, device)
  const memory = ask(nvml.nvmlDeviceGetMemoryInfo as Query, device)
  const power = ask(nvml.nvmlDeviceGetPowerUsage as Query, device)
  const limit = ask(nvml.nvmlDeviceGetEnforcedPowerLimit as Query, device)
  const energy = ask(nvml.nvmlDeviceGetTotalEnergyConsumption as Query, device)
  return {
    uuid: new TextDecoder().decode(text.subarray(0, text.indexOf(0))),
    utilization: utilization && lowWord(utilization) / 100,
    memoryBytesTotal: memory && Number(memory[0]),
    memoryBytesUsed: memory && Number(memory[2]),
    powerWatts: power && lowWord(power) / 1000,
    powerLimitWatts: limit && lowWord(limit) / 1000,
    energyJoules: energy && Number(energy[0]) / 1000,
    ...sampleMore(more, device),
  }
}

function sampleMore(
  more: MoreFunctions | undefined,
  device: bigint,
): Pick<GpuSample, 'temperatureCelsius' | 'clockHertz' | 'throttleReasons'> {
  const temperature =
    more && ask((of, out) => more.nvmlDeviceGetTemperature(of, TEMPERATURE_GPU, out), device)
  const clock = more && ask((of, out) => more.nvmlDeviceGetClockInfo(of, CLOCK_GRAPHICS, out), device)
  const reasons = more && ask(more.nvmlDeviceGetCurrentClocksThrottleReasons as Query, device)
  return {
    temperatureCelsius: temperature && lowWord(temperature),
    clockHertz: clock && 1e6 * lowWord(clock),
    throttleReasons: reasons?.[0],
  }
}

function ask(query: Query, device: bigint): BigUint64Array | undefined {
  const out = new BigUint64Array(3)
  return query(device, out) === SUCCESS ? out : undefined
}

function lowWord(words: BigUint64Array): number {
  return Number((words[0] ?? 0n) & 0xffff_ffffn)
}
