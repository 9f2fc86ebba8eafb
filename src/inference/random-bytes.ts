import { encodeBfloat16 } from '../kit/bfloat16.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Datatype } from '../runtime/datatypes.ts'

/**
 * Numbers from 0 to 1, integers from 0 to 7: what most models can do something with, an index among them. The same each
 * time, so that what warms up today does tomorrow.
 */
export function randomBytes(datatype: Datatype, elements: number): Uint8Array {
  const make = MAKERS[datatype]
  if (make === undefined) {
    throw new EdgeError(
      'config_invalid',
      `${datatype} cannot be filled with random values, expected zeros or a file`,
    )
  }
  const { buffer } = make({ length: elements }, xorshift(0x9e3779b9))
  return new Uint8Array(buffer)
}

type Next = () => number

/** Marsaglia, "Xorshift RNGs", 2003. */
function xorshift(seed: number): Next {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const small = (next: Next) => Math.floor(next() * 8)

type Maker = (of: { length: number }, next: Next) => { readonly buffer: ArrayBufferLike }

const bytes: Maker = (of, next) => Uint8Array.from(of, () => small(next))
const shorts: Maker = (of, next) => Uint16Array.from(of, () => small(next))
const words: Maker = (of, next) => Uint32Array.from(of, () => small(next))
const longs: Maker = (of, next) => BigUint64Array.from(of, () => BigInt(small(next)))

const MAKERS: Partial<Record<Datatype, Maker>> = {
  BOOL: (of, next) => Uint8Array.from(of, () => small(next) & 1),
  UINT8: bytes,
  INT8: bytes,
  UINT16: shorts,
  INT16: shorts,
  UINT32: words,
  INT32: words,
  UINT64: longs,
  INT64: longs,
  FP16: (of, next) => Float16Array.from(of, next),
  BF16: (of, next) => encodeBfloat16(Float32Array.from(of, next)),
  FP32: (of, next) => Float32Array.from(of, next),
  FP64: (of, next) => Float64Array.from(of, next),
}
