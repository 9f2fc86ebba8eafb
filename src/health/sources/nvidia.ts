import type { GpuSample } from '../gpu-sample.ts'
import type { Measured, Source } from '../source.ts'

/** NVML: nvmlClocksThrottleReason…, those that mean that the GPU is held back. */
const THROTTLE_REASONS: readonly [bit: bigint, by: string][] = [
  [0x04n, 'gpu power cap'],
  [0x08n, 'gpu hardware slowdown'],
  [0x20n, 'gpu temperature'],
  [0x40n, 'gpu hardware temperature'],
  [0x80n, 'gpu power brake'],
]

/** NVIDIA's GPUs as their driver sees them. */
export class Nvidia implements Source {
  readonly name = 'nvidia'
  readonly #sample: () => Promise<readonly GpuSample[]>

  constructor({ sample }: { sample: () => Promise<readonly GpuSample[]> }) {
    this.#sample = sample
  }

  async read(): Promise<Measured[]> {
    const gpus = await this.#sample()
    const throttled = gpus.map(({ throttleReasons }) => throttleReasons).filter((bits) => bits !== undefined)
    return [
      ...gpus.flatMap(describe),
      ...(throttled.length === 0
        ? []
        : THROTTLE_REASONS.map(([bit, by]) => ({
            name: 'throttled',
            labels: { by },
            value: throttled.some((bits) => (bits & bit) !== 0n) ? 1 : 0,
          }))),
    ]
  }
}

function describe(gpu: GpuSample): Measured[] {
  const labels = { gpu: gpu.uuid }
  const found: [string, number | undefined, Readonly<Record<string, string>>?][] = [
    ['gpu_load_percent', gpu.utilization === undefined ? undefined : 100 * gpu.utilization],
    ['gpu_memory_used_bytes', gpu.memoryBytesUsed],
    ['gpu_memory_total_bytes', gpu.memoryBytesTotal],
    ['gpu_frequency_hertz', gpu.clockHertz],
    ['gpu_power_watts', gpu.powerWatts],
    ['gpu_power_limit_watts', gpu.powerLimitWatts],
    ['temperature_celsius', gpu.temperatureCelsius, { zone: gpu.uuid }],
  ]
  return found.flatMap(([name, value, own]) =>
    value === undefined ? [] : [{ name, labels: own ?? labels, value }],
  )
}
