import type { Clock } from '../kit/clock.ts'
import { Histogram, type HistogramSnapshot } from '../kit/histogram.ts'

/** Between two looks: often enough to see what a client would feel, seldom enough to let an idle core sleep. */
const EVERY_MS = 50
const BOUNDS_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1]

/** How late timers are: whatever holds up the event loop holds up every request. */
export function watchLoopDelay(clock: Clock): () => HistogramSnapshot {
  const delays = new Histogram(BOUNDS_SECONDS)
  let due = clock.elapsed() + EVERY_MS
  const timer = setInterval(() => {
    const now = clock.elapsed()
    delays.add(Math.max(0, now - due) / 1000)
    due = now + EVERY_MS
  }, EVERY_MS)
  timer.unref()
  return () => delays.snapshot
}
