import { EdgeError } from '../kit/errors.ts'
import { FRAME_HEADER_BYTES, type Frame } from './frame.ts'

/** One item that comes in parts, in any order. Takes no more memory than `bytesMax`. */
export class Parts {
  readonly #parts: (Uint8Array | undefined)[]
  readonly #bytesMax: number
  #missing: number
  #bytes = 0

  constructor(first: Pick<Frame, 'parts'>, options: { bytesMax: number; frameBytes: number }) {
    const least = (first.parts - 1) * (options.frameBytes - FRAME_HEADER_BYTES)
    if (least > options.bytesMax) throw tooLarge(options.bytesMax)
    this.#parts = Array.from({ length: first.parts })
    this.#missing = first.parts
    this.#bytesMax = options.bytesMax
  }

  /** True when it was new. A copy, or a part of another cut, changes nothing. */
  add({ part, parts, bytes }: Frame): boolean {
    if (parts !== this.#parts.length || this.#parts[part] !== undefined) return false
    if (this.#bytes + bytes.byteLength > this.#bytesMax) throw tooLarge(this.#bytesMax)
    this.#parts[part] = bytes
    this.#bytes += bytes.byteLength
    this.#missing -= 1
    return true
  }

  /** The part is here, or there is none of that number. */
  has(part: number): boolean {
    return part >= this.#parts.length || this.#parts[part] !== undefined
  }

  get isWhole(): boolean {
    return this.#missing === 0
  }

  /** Numbers of the parts that have not come. */
  get missing(): number[] {
    return this.#parts.flatMap((bytes, part) => (bytes === undefined ? [part] : []))
  }

  join(): Uint8Array {
    const [only] = this.#parts
    if (this.#parts.length === 1 && only !== undefined) return only
    return Buffer.concat(this.#parts.filter((bytes) => bytes !== undefined))
  }
}

function tooLarge(bytesMax: number): EdgeError {
  return new EdgeError('body_too_large', `Cannot take an answer: it has more than ${bytesMax} bytes`)
}
