import type { RunRequest, RunResult } from '../runtime/backend.ts'

/**
 * Where a model's runs happen: on a worker thread, or in line on the main thread when that is so quick that the hop to
 * a thread and back (tens of µs) would cost more. Decided from what its own runs took of the processor, and taken back
 * at the first run that took more than allowed, because the main thread stands still meanwhile.
 *
 * By the clock a run may take long because the thread was put aside for another one, and on a busy machine that happens
 * all the time. Asking for processor time costs a call of the kernel, which a run of 3 µs would feel: so runs in line
 * are timed by the clock, and where one took long, the next ones are measured.
 */
const INLINE_MS_MAX = 0.15
/** Runs on a thread, all of them quick, before one is tried in line; and runs that are measured after a long one. */
const QUICK_RUNS_MIN = 32
/** Larger inputs take their time in another way than the small ones that were measured. */
const INLINE_BYTES_MAX = 65_536
/** Whatever was the reason for it: half of what requests may be held up by. */
const HELD_UP_MS_MAX = 10

export class RunPlace {
  #quickInARow = 0
  /** Runs in line that are still to be measured. */
  #suspected = 0

  /** Whether a run with so many bytes of input may be in line. */
  isInline(inputBytes: number): boolean {
    return this.#quickInARow >= QUICK_RUNS_MIN && inputBytes <= INLINE_BYTES_MAX
  }

  /** The run as it is to be made in line. */
  watched(run: RunRequest): RunRequest {
    return this.#suspected > 0 ? { ...run, isMeasured: true } : run
  }

  /** What a run took inside the runtime. */
  learn({ runMs, busyMs }: Pick<RunResult, 'runMs' | 'busyMs'>): void {
    if ((busyMs ?? runMs) <= INLINE_MS_MAX) {
      this.#quickInARow = Math.min(this.#quickInARow + 1, QUICK_RUNS_MIN)
      this.#suspected = Math.max(this.#suspected - 1, 0)
    } else if (busyMs === undefined && runMs <= HELD_UP_MS_MAX) {
      this.#suspected = QUICK_RUNS_MIN
    } else {
      this.#quickInARow = 0
    }
  }
}
