/**
 * Where a model's runs happen: on a worker thread, or in line on the main thread when that is so quick that the hop to
 * a thread and back (tens of µs) would cost more. Decided from what its own runs took, and taken back at the first
 * run that took longer than allowed, because the main thread stands still meanwhile.
 */
const INLINE_MS_MAX = 0.15
/** Runs on a thread, all of them quick, before one is tried in line. */
const QUICK_RUNS_MIN = 32
/** Larger inputs take their time in another way than the small ones that were measured. */
const INLINE_BYTES_MAX = 65_536

export class RunPlace {
  #quickInARow = 0

  /** Whether a run with so many bytes of input may be in line. */
  isInline(inputBytes: number): boolean {
    return this.#quickInARow >= QUICK_RUNS_MIN && inputBytes <= INLINE_BYTES_MAX
  }

  /** What a run took inside the runtime. */
  learn(runMs: number): void {
    this.#quickInARow = runMs <= INLINE_MS_MAX ? Math.min(this.#quickInARow + 1, QUICK_RUNS_MIN) : 0
  }
}
