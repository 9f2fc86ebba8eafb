import { EdgeError } from '../kit/errors.ts'
import type { Lanes } from './lanes.ts'

/** The door: counts who is inside, and knows the way to the lanes. */
export class Engine {
  readonly lanes: Lanes
  readonly #requestsMax: number
  #requests = 0
  #refused = 0

  constructor(options: { lanes: Lanes; requestsMax: number }) {
    this.lanes = options.lanes
    this.#requestsMax = options.requestsMax
  }

  /** Requests inside, from before their body is read to after their answer is written. */
  get requests(): number {
    return this.#requests
  }

  /** Requests that were turned away at the door since the start. */
  get refused(): number {
    return this.#refused
  }

  /** Before a request's body is read: refused at once when too many are inside. Whoever entered leaves once. */
  enter(): void {
    if (this.#requests >= this.#requestsMax) {
      this.#refused += 1
      throw new EdgeError(
        'queue_full',
        `Cannot admit request: ${this.#requests} are in flight, at most ${this.#requestsMax}`,
      )
    }
    this.#requests += 1
  }

  leave(): void {
    this.#requests -= 1
  }
}
