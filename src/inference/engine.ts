import { EdgeError } from '../kit/errors.ts'
import type { Lanes } from './lanes.ts'

export interface EngineOptions {
  readonly lanes: Lanes
  readonly requestsMax: number
  /** Of all bodies together. */
  readonly bytesMax: number
}

/** One request's stay inside: from before its body is read to after its answer is made. */
export interface Permit {
  /** Before so many more bytes are kept for it; refused when all requests together would keep too many. */
  hold(bytes: number): void
  /** Gives back all that it held. Once. */
  leave(): void
}

/** The door: counts who is inside and what they carry, and knows the way to the lanes. */
export class Engine {
  readonly lanes: Lanes
  readonly #options: EngineOptions
  #requests = 0
  #bytes = 0
  readonly #refused = { requests: 0, bytes: 0 }

  constructor(options: EngineOptions) {
    this.lanes = options.lanes
    this.#options = options
  }

  get requests(): number {
    return this.#requests
  }

  /** What the bodies of the requests inside come to. */
  get bytes(): number {
    return this.#bytes
  }

  /** Requests that were turned away since the start: at the door, or because of what they carried. */
  get refused(): Readonly<Record<'requests' | 'bytes', number>> {
    return this.#refused
  }

  /** Refused at once when too many are inside. */
  enter(): Permit {
    const { requestsMax } = this.#options
    if (this.#requests >= requestsMax) {
      throw this.#refuse(
        'requests',
        `${this.#requests} are in flight, at most ${requestsMax} (inference.requests_max)`,
      )
    }
    this.#requests += 1
    let held = 0
    return {
      hold: (bytes) => {
        this.#hold(bytes)
        held += bytes
      },
      leave: () => {
        this.#requests -= 1
        this.#bytes -= held
        held = 0
      },
    }
  }

  #hold(bytes: number): void {
    const { bytesMax } = this.#options
    if (this.#bytes + bytes > bytesMax) {
      throw this.#refuse(
        'bytes',
        `its ${bytes} bytes and the ${this.#bytes} in flight are too many, at most ${bytesMax} (inference.bytes_max)`,
      )
    }
    this.#bytes += bytes
  }

  #refuse(of: 'requests' | 'bytes', why: string): EdgeError {
    this.#refused[of] += 1
    return new EdgeError('queue_full', `Cannot admit request: ${why}`)
  }
}
