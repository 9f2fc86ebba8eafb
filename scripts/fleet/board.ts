/** What a simulated device measures: the series of a Jetson that serves one model, with values that wander. */
import type { Measured } from '../../src/health/source.ts'
import type { Random } from '../../src/kit/random.ts'

/** By name, where from, and what is usual. */
const SERIES: readonly (readonly [name: string, labels: Record<string, string>, usual: number])[] = [
  ['cpu_percent', {}, 40],
  ['load_average', {}, 2],
  ['memory_total_bytes', {}, 8e9],
  ['memory_used_bytes', {}, 4e9],
  ['memory_used_percent', {}, 50],
  ['swap_used_bytes', {}, 0],
  ...['cpu', 'io', 'memory'].map((of) => ['pressure_percent', { of }, 3] as const),
  ['disk_used_percent', { path: '/' }, 60],
  ['disk_free_bytes', { path: '/' }, 2e10],
  ['inodes_used_percent', { path: '/' }, 10],
  ['disk_wear_percent', { disk: 'mmcblk0' }, 5],
  ...['cpu-thermal', 'gpu-thermal', 'soc0-thermal', 'tj-thermal'].map(
    (zone) => ['temperature_celsius', { zone }, 55] as const,
  ),
  ['gpu_load_percent', {}, 70],
  ['gpu_frequency_hertz', {}, 6e8],
  ...['VDD_IN', 'VDD_CPU_GPU_CV', 'VDD_SOC'].map((rail) => ['power_watts', { rail }, 4] as const),
  ['power_total_watts', {}, 9],
  ['cooling_state', { device: 'pwm-fan' }, 1],
  ['throttled', { by: 'cpu-throttle-alert' }, 0],
  ['network_received_bytes_per_second', { interface: 'eth0' }, 12_000],
  ['network_sent_bytes_per_second', { interface: 'eth0' }, 4_000],
  ['network_errors_per_second', { interface: 'eth0' }, 0],
]

export class ScriptedBoard {
  readonly problems = []
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  sample(): Promise<Measured[]> {
    return Promise.resolve(
      SERIES.map(([name, labels, usual]) => ({
        name,
        labels,
        value: usual * (0.9 + this.#random.fraction() / 5),
      })),
    )
  }
}
