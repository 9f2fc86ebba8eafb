import { Datatype, encodeValues, isWholeNumber } from '../client/datatypes.ts'
import type { Plain } from '../client/plain.ts'
import type { Tensor, TensorSpec } from '../runtime/backend.ts'
import { byteLength, elementCount } from '../runtime/datatypes.ts'

/** Numbers of chance that are the same each time: xorshift, from a seed that is not 0. */
export class SeededNumbers {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  /** From 0 to 1. */
  next(): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) / 2 ** 32
  }
}

/** A whole number this small is an index in any vocabulary, and a count that no model balks at. */
const WHOLE_MAX = 8

/** An input of chance. Open dimensions are `open`, but for the first, which is the batch: that is 1. */
export function randomInput(
  spec: TensorSpec,
  { open, numbers }: { open: number; numbers: SeededNumbers },
): Tensor {
  const shape = (spec.shape ?? [1]).map((dimension, index) => {
    if (dimension !== -1) return dimension
    return index === 0 ? 1 : open
  })
  const count = elementCount(shape)
  const known = Datatype.safeParse(spec.datatype)
  // What JavaScript has no numbers for is zero.
  const bytes = known.success
    ? encodeValues(
        known.data,
        Array.from({ length: count }, () => elementOf(known.data, numbers)),
      )
    : new Uint8Array(new ArrayBuffer(byteLength(spec.datatype, count)))
  return { name: spec.name, datatype: spec.datatype, shape, bytes }
}

function elementOf(datatype: Datatype, numbers: SeededNumbers): Plain {
  const number = numbers.next()
  if (datatype === 'BOOL') return number < 0.5
  if (datatype === 'BYTES') return `text ${Math.floor(number * 1000)}`
  return isWholeNumber(datatype) ? Math.floor(number * WHOLE_MAX) : number
}
