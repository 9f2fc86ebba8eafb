import type { Clock } from '../kit/clock.ts'
import type { HistogramSnapshot } from '../kit/histogram.ts'
import { watchLoopDelay } from './loop-delay.ts'

/** What this process takes of the machine, looked at when it is asked for. */
export function watchProcess(clock: Clock): () => {
  cpuSeconds: number
  residentBytes: number
  loopDelay: HistogramSnapshot
} {
  const loopDelay = watchLoopDelay(clock)
  return () => {
    const { user, system } = process.cpuUsage()
    return {
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      loopDelay: loopDelay().delay,
    }
  }
}
