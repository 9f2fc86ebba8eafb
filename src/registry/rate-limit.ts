import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'

/** As many addresses are remembered; beyond that the one that has been quiet longest is forgotten. */
const ADDRESSES_MAX = 10_000

/** So many attempts at once from one address, and one more each time the interval has passed. */
export class RateLimit {
  readonly #clock: Clock
  readonly #burst: number
  readonly #intervalMs: number
  readonly #buckets = new Map<string, { tokens: number; at: number }>()

  constructor(parts: { clock: Clock; burst: number; intervalMs: number }) {
    this.#clock = parts.clock
    this.#burst = parts.burst
    this.#intervalMs = parts.intervalMs
  }

  /** Counts one attempt, or refuses it. */
  take(address: string): void {
    const now = this.#clock.elapsed()
    const before = this.#buckets.get(address) ?? { tokens: this.#burst, at: now }
    const tokens = Math.min(this.#burst, before.tokens + (now - before.at) / this.#intervalMs)
    // Put back at the end: the first entry of the map is the one that has been quiet longest.
    this.#buckets.delete(address)
    this.#buckets.set(address, { tokens: tokens < 1 ? tokens : tokens - 1, at: now })
    if (this.#buckets.size > ADDRESSES_MAX) this.#forgetQuietest()
    if (tokens >= 1) return
    throw new EdgeError(
      'rate_limited',
      `Cannot try again yet: at most ${this.#burst} attempts at once and one in ${this.#intervalMs / 1000} s`,
    )
  }

  #forgetQuietest(): void {
    for (const address of this.#buckets.keys()) {
      this.#buckets.delete(address)
      return
    }
  }
}
