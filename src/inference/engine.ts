import { EdgeError } from '../kit/errors.ts'
import type { LaneRequest, LaneResult } from './lane.ts'
import type { Lanes } from './lanes.ts'

export interface InferRequest extends LaneRequest {
  readonly model: string
  readonly version: string | undefined
}

export interface InferResult extends LaneResult {
  readonly model: string
  readonly version: string
}

/** The door: counts who is inside, and finds the lane. */
export class Engine {
  readonly lanes: Lanes
  readonly #requestsMax: number
  #requests = 0

  constructor(options: { lanes: Lanes; requestsMax: number }) {
    this.lanes = options.lanes
    this.#requestsMax = options.requestsMax
  }

  /** Requests inside, from before their body is read to after their answer is written. */
  get requests(): number {
    return this.#requests
  }

  /** Before a request's body is read: refused at once when too many are inside. Leave once. */
  enter(): void {
    if (this.#requests >= this.#requestsMax) {
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

  async infer(request: InferRequest): Promise<InferResult> {
    const lane = this.lanes.find(request.model, request.version)
    const result = await lane.infer(request)
    return { ...result, model: lane.model, version: lane.version }
  }
}
