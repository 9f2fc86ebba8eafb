import type { Clock } from '../../kit/clock.ts'
import type { Files } from '../files.ts'
import { Processors } from '../processors.ts'
import type { Measured, Source } from '../source.ts'

/** The processors and the main memory, which a Jetson's GPU shares. */
export class ProcessorsAndMemory implements Source {
  readonly name = 'processors'
  readonly #files: Files
  readonly #processors: Processors

  constructor({ files, clock }: { files: Files; clock: Clock }) {
    this.#files = files
    this.#processors = new Processors(clock, async (path) => (await files.read(path)) ?? '')
  }

  async read(): Promise<Measured[]> {
    const [sample, load, meminfo] = await Promise.all([
      this.#processors.sample(),
      this.#files.read('proc/loadavg'),
      this.#files.read('proc/meminfo'),
    ])
    if (sample === undefined || sample.memoryBytesTotal === 0) return []
    const { utilization, memoryBytesTotal, memoryBytesUsed } = sample
    const one = Number(load?.split(' ')[0])
    return [
      { name: 'cpu_percent', value: 100 * utilization },
      { name: 'memory_total_bytes', value: memoryBytesTotal },
      { name: 'memory_used_bytes', value: memoryBytesUsed },
      { name: 'memory_used_percent', value: (100 * memoryBytesUsed) / memoryBytesTotal },
      { name: 'swap_used_bytes', value: swapUsed(meminfo ?? '') },
      ...(Number.isFinite(one) ? [{ name: 'load_average', value: one }] : []),
    ]
  }
}

function swapUsed(meminfo: string): number {
  const kilobytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0)
  return 1024 * (kilobytes('SwapTotal') - kilobytes('SwapFree'))
}
