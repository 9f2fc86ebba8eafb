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

const WHOLE = 1000

/** The door: counts who is inside and what they carry, and knows the way to the lanes. */
export class Engine {
  readonly lanes: Lanes
  readonly #options: EngineOptions
  #requests = 0
  #bytes = 0
  readonly #refused = { requests: 0, bytes: 0, heat: 0 }
  #share = 1
  /** Of the next request, what those before it have left of theirs; in thousandths, which add up to a whole. */
  #due = 0

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

  /** Requests that were turned away since the start: at the door, because of what they carried, or to let the board cool. */
  get refused(): Readonly<Record<'requests' | 'bytes' | 'heat', number>> {
    return this.#refused
  }

  /** Of what comes, so much may come in; 1 is all. */
  get share(): number {
    return this.#share
  }

  /** Of a quarter each fourth one comes in, so that no client is shut out for long. */
  admit(share: number): void {
    this.#share = share
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
    if (this.#share < 1) this.#takeTurn()
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

  #takeTurn(): void {
    this.#due += Math.round(this.#share * WHOLE)
    if (this.#due >= WHOLE) {
      this.#due -= WHOLE
      return
    }
    this.#refused.heat += 1
    const percent = Math.round(100 * this.#share)
    throw new EdgeError(
      'too_hot',
      `Cannot admit request: the board is hot, and ${percent} % of the requests are let in (limpet_admitted_share)`,
    )
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
