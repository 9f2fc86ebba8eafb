import type { Clock } from '../kit/clock.ts'

/** Bytes a second; undefined: as many as come. Asked for each time, because it changes with the time of day. */
export type Rate = () => number | undefined

/** What may be saved up, as time: short, so that a pause does not become a burst. */
const SAVED_MS_MAX = 250

/** Keeps the bytes that come to a rate, over any time longer than what may be saved up. */
export class TokenBucket {
  readonly #clock: Clock
  readonly #rate: Rate
  #tokens = 0
  #at: number

  constructor(parts: { clock: Clock; rate: Rate }) {
    this.#clock = parts.clock
    this.#rate = parts.rate
    this.#at = parts.clock.elapsed()
  }

  /** Bytes that came; may go into debt, which later ones wait for. */
  spend(bytes: number): void {
    this.#refill()
    if (this.#rate() !== undefined) this.#tokens -= bytes
  }

  /** Resolves once there is something to spend, or the signal fires; gives what there is. */
  async ready(signal: AbortSignal): Promise<number> {
    for (;;) {
      this.#refill()
      const rate = this.#rate()
      if (rate === undefined) return Number.POSITIVE_INFINITY
      if (this.#tokens > 0 || signal.aborted) return Math.max(0, Math.floor(this.#tokens))
      await this.#clock.sleep(Math.max(1, ((1 - this.#tokens) / rate) * 1000), signal)
    }
  }

  /** What a request may ask for, so that what it brings is worth at most a short time. */
  get most(): number {
    const rate = this.#rate()
    return rate === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(1, Math.floor((rate * SAVED_MS_MAX) / 1000))
  }

  #refill(): void {
    const now = this.#clock.elapsed()
    const rate = this.#rate()
    // Where there was no limit nothing was saved, and nothing is owed.
    this.#tokens =
      rate === undefined ? 0 : Math.min(this.most, this.#tokens + ((now - this.#at) / 1000) * rate)
    this.#at = now
  }
}
