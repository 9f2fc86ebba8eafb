import { z } from 'zod'
import { decodeBfloat16, encodeBfloat16 } from '../kit/bfloat16.ts'
import { integersWithin, longsWithin, type Plain, toBoolean, toFloat, toText } from './plain.ts'
import { decodeStrings, encodeStrings } from './strings.ts'

/** One way to keep elements as bytes. Little-endian, as the protocol and every machine that runs Limpet is. */
interface Coding {
  /** Zero: the elements differ in length. */
  readonly elementBytes: number
  encode(values: ArrayLike<Plain>): Uint8Array<ArrayBuffer>
  decode(bytes: Uint8Array): ArrayLike<Plain>
}

const CODINGS = {
  BOOL: {
    elementBytes: 1,
    encode: (values) => Uint8Array.from(values, (value) => (toBoolean(value) ? 1 : 0)),
    decode: (bytes) => Array.from(bytes, (byte) => byte !== 0),
  },
  UINT8: typed(Uint8Array, integersWithin(0, 2 ** 8 - 1)),
  UINT16: typed(Uint16Array, integersWithin(0, 2 ** 16 - 1)),
  UINT32: typed(Uint32Array, integersWithin(0, 2 ** 32 - 1)),
  UINT64: typed(BigUint64Array, longsWithin(0n, 2n ** 64n - 1n)),
  INT8: typed(Int8Array, integersWithin(-(2 ** 7), 2 ** 7 - 1)),
  INT16: typed(Int16Array, integersWithin(-(2 ** 15), 2 ** 15 - 1)),
  INT32: typed(Int32Array, integersWithin(-(2 ** 31), 2 ** 31 - 1)),
  INT64: typed(BigInt64Array, longsWithin(-(2n ** 63n), 2n ** 63n - 1n)),
  FP16: typed(Float16Array, toFloat),
  BF16: {
    elementBytes: 2,
    encode: (values) => bytesOf(encodeBfloat16(Float32Array.from(values, toFloat))),
    decode: (bytes) => decodeBfloat16(new Uint16Array(copyBytes(bytes))),
  },
  FP32: typed(Float32Array, toFloat),
  FP64: typed(Float64Array, toFloat),
  BYTES: {
    elementBytes: 0,
    encode: (values) => encodeStrings(Array.from(values, toText)),
    decode: decodeStrings,
  },
} satisfies Record<string, Coding>

export type Datatype = keyof typeof CODINGS
export const Datatype = z.enum(Object.keys(CODINGS) as [Datatype])

/** Refuses what the datatype cannot hold; only floats are rounded. */
export function encodeValues(datatype: Datatype, values: ArrayLike<Plain>): Uint8Array<ArrayBuffer> {
  return CODINGS[datatype].encode(values)
}

export function decodeValues(datatype: Datatype, bytes: Uint8Array): ArrayLike<Plain> {
  return CODINGS[datatype].decode(bytes)
}

/** How many bytes so many elements take; `undefined` where only the elements themselves can tell. */
export function bytesFor(datatype: Datatype, elements: number): number | undefined {
  return datatype === 'BYTES' ? undefined : CODINGS[datatype].elementBytes * elements
}

export function isWholeNumber(datatype: Datatype): boolean {
  return /^U?INT/.test(datatype)
}

/** What the classes of typed arrays have in common, so far as it is needed here. */
interface ArrayClass<E> {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): ArrayBufferView<ArrayBuffer> & { [index: number]: E }
  new (buffer: ArrayBuffer): ArrayLike<E>
}

function typed<E extends number | bigint>(kind: ArrayClass<E>, convert: (value: Plain) => E): Coding {
  return {
    elementBytes: kind.BYTES_PER_ELEMENT,
    encode(values) {
      const elements = new kind(values.length)
      // A plain loop: an image has millions of these, and `from` with a mapping goes through an iterator.
      for (let index = 0; index < values.length; index += 1) elements[index] = convert(values[index] as Plain)
      return bytesOf(elements)
    },
    decode: (bytes) => new kind(copyBytes(bytes)),
  }
}

function bytesOf(array: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Aligns what lies anywhere in an answer. Not `slice`: a Buffer's does not copy. */
function copyBytes(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}
