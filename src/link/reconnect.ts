import type { Random } from '../kit/random.ts'

const FIRST_MS = 1000
const LONGEST_MS = 120_000
/** A connection this old was a good one: what failed before it is forgotten. */
const STABLE_MS = 60_000
/** Of a whole fleet that has lost one broker, so many are to come back in a second. */
const CONNECTS_PER_SECOND = 200
/** A broker that says it is busy is left alone for at least so long. */
const BUSY_MS = 30_000

/** How a connection, or the attempt at one, came to its end. */
export interface Ended {
  /** How long it stood. */
  readonly stoodMs: number
  readonly isBusy: boolean
  /** That share the broker, as far as the registry has said. */
  readonly devices: number
}

/**
 * When to try again: full jitter, so that ten thousand devices that lost one broker do not come back as one. Pure but for
 * the dice.
 */
export class Reconnect {
  readonly #random: Random
  #failures = 0

  constructor(random: Random) {
    this.#random = random
  }

  after({ stoodMs, isBusy, devices }: Ended): number {
    if (stoodMs >= STABLE_MS) this.#failures = 0
    const ownMs = FIRST_MS * 2 ** Math.min(this.#failures, 30)
    const crowdMs = (devices / CONNECTS_PER_SECOND) * 1000
    const most = Math.min(LONGEST_MS, Math.max(ownMs, crowdMs))
    this.#failures += 1
    return (isBusy ? BUSY_MS : 0) + this.#random.fraction() * most
  }
}
