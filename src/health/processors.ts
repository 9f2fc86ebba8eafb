import { readFile } from 'node:fs/promises'
import type { Clock } from '../kit/clock.ts'

/** The processors and their memory, as the kernel counts them. */
export interface ProcessorSample {
  /** Share of all processors' time that was not idle since the sample before, 0 to 1; 0 in the first. */
  readonly utilization: number
  readonly memoryBytesTotal: number
  /** What is not available to a new process without swapping. */
  readonly memoryBytesUsed: number
}

interface Ticks {
  readonly busy: number
  readonly all: number
}

/** Two looks closer together than this would only see each other. */
const BETWEEN_MS_MIN = 1000

/** Reads /proc (proc(5)); `read` gives the text of a file of it. */
export class Processors {
  readonly #read: (path: string) => Promise<string>
  readonly #clock: Clock
  #before: { readonly ticks: Ticks; readonly atMs: number } | undefined
  #utilization = 0

  constructor(clock: Clock, read = (path: string) => readFile(path, 'utf8')) {
    this.#clock = clock
    this.#read = read
  }

  /** Undefined where there is no /proc. */
  async sample(): Promise<ProcessorSample | undefined> {
    const texts = await Promise.all(['/proc/stat', '/proc/meminfo'].map(this.#read)).catch(() => undefined)
    const [stat, meminfo] = texts ?? []
    if (stat === undefined || meminfo === undefined) return undefined
    this.#learn(parseTicks(stat))
    const memoryBytesTotal = parseMemory(meminfo, 'MemTotal')
    const memoryBytesUsed = memoryBytesTotal - parseMemory(meminfo, 'MemAvailable')
    return { utilization: this.#utilization, memoryBytesTotal, memoryBytesUsed }
  }

  #learn(ticks: Ticks): void {
    const atMs = this.#clock.elapsed()
    const before = this.#before
    if (before !== undefined) {
      if (atMs - before.atMs < BETWEEN_MS_MIN) return
      const all = ticks.all - before.ticks.all
      this.#utilization = all > 0 ? Math.max(0, Math.min(1, (ticks.busy - before.ticks.busy) / all)) : 0
    }
    this.#before = { ticks, atMs }
  }
}

/** "cpu  user nice system idle iowait irq softirq steal …"; guest time is in user already. */
function parseTicks(stat: string): Ticks {
  const numbers = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number).slice(0, 8)
  const all = numbers.reduce((sum, number) => sum + number, 0)
  return { busy: all - (numbers[3] ?? 0) - (numbers[4] ?? 0), all }
}

function parseMemory(meminfo: string, name: string): number {
  return 1024 * Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0)
}
