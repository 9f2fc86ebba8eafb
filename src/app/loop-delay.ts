import type { Clock } from '../kit/clock.ts'
import { Histogram, type HistogramSnapshot } from '../kit/histogram.ts'
import { threadMs } from '../runtime/thread-time.ts'

/** Between two looks at a thread that has little to do: seldom enough to let an idle core sleep. */
const IDLE_EVERY_MS = 50
/** While it works: what held it up before a look was due is not seen, so the looks are close to each other. */
const BUSY_EVERY_MS = 5
/** Working is who was on the processor for so much of the time since the last look. */
const BUSY_SHARE = 0.1
const BOUNDS_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1]

export interface LoopDelay {
  /** How late timers were, in seconds. */
  readonly delay: HistogramSnapshot
  /**
   * Of each delay, how much the thread itself can have been working, in seconds: its processor time since the last look,
   * the delay at most. The rest of the delay it waited for a processor.
   */
  readonly held: HistogramSnapshot
  readonly heldSecondsMax: number
}

/** How late timers are: whatever holds up the event loop holds up every request. */
export function watchLoopDelay(clock: Clock, busyMs: () => number = threadMs): () => LoopDelay {
  const looks = new LoopLooks({ nowMs: clock.elapsed(), busyMs: busyMs() })
  const look = () => {
    const waitMs = looks.look({ nowMs: clock.elapsed(), busyMs: busyMs() })
    setTimeout(look, waitMs).unref()
  }
  setTimeout(look, IDLE_EVERY_MS).unref()
  return () => looks.snapshot
}

interface Look {
  readonly nowMs: number
  /** Of the thread's processor time, whatever its zero is. */
  readonly busyMs: number
}

/** What is made of the looks at a thread, wherever its times come from. */
export class LoopLooks {
  readonly #delay = new Histogram(BOUNDS_SECONDS)
  readonly #held = new Histogram(BOUNDS_SECONDS)
  #heldSecondsMax = 0
  #last: Look
  #dueMs: number

  constructor(first: Look) {
    this.#last = first
    this.#dueMs = first.nowMs + IDLE_EVERY_MS
  }

  /** Returns how long to wait before the next. */
  look(look: Look): number {
    const lateMs = Math.max(0, look.nowMs - this.#dueMs)
    const workedMs = look.busyMs - this.#last.busyMs
    const heldSeconds = Math.min(lateMs, workedMs) / 1000
    this.#delay.add(lateMs / 1000)
    this.#held.add(heldSeconds)
    this.#heldSecondsMax = Math.max(this.#heldSecondsMax, heldSeconds)
    const isBusy = workedMs > BUSY_SHARE * (look.nowMs - this.#last.nowMs)
    const waitMs = isBusy ? BUSY_EVERY_MS : IDLE_EVERY_MS
    this.#last = look
    this.#dueMs = look.nowMs + waitMs
    return waitMs
  }

  get snapshot(): LoopDelay {
    const { snapshot: delay } = this.#delay
    return { delay, held: this.#held.snapshot, heldSecondsMax: this.#heldSecondsMax }
  }
}
