import type { Tensor } from '../runtime/backend.ts'
import { DATATYPES, type Datatype } from '../runtime/datatypes.ts'

/** Spread over all of a tensor; what a request costs for being summed up does not grow with it. */
const LOOKED_AT_MAX = 1024

type Read = (view: DataView, at: number) => number

/** Also at odd addresses, as tensors of binary requests may lie. */
const READERS: Partial<Record<Datatype, Read>> = {
  FP64: (view, at) => view.getFloat64(at, true),
  FP32: (view, at) => view.getFloat32(at, true),
  FP16: (view, at) => view.getFloat16(at, true),
  BF16: (view, at) => bfloat16(view.getUint16(at, true)),
  INT64: (view, at) => Number(view.getBigInt64(at, true)),
  UINT64: (view, at) => Number(view.getBigUint64(at, true)),
  INT32: (view, at) => view.getInt32(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  INT16: (view, at) => view.getInt16(at, true),
  UINT16: (view, at) => view.getUint16(at, true),
  INT8: (view, at) => view.getInt8(at),
  UINT8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
}

const scratch = new DataView(new ArrayBuffer(4))

/** The upper half of an FP32. */
function bfloat16(half: number): number {
  scratch.setUint32(0, half * 0x1_0000)
  return scratch.getFloat32(0)
}

export function isNumeric(datatype: Datatype): boolean {
  return READERS[datatype] !== undefined
}

/** Some of its elements, as numbers; a 64-bit integer past 2^53 is rounded. */
export function eachValue({ datatype, bytes }: Tensor, call: (value: number) => void): void {
  const read = READERS[datatype]
  if (read === undefined) return
  const size = DATATYPES[datatype].bits / 8
  const count = Math.floor(bytes.byteLength / size)
  const step = Math.max(1, Math.ceil(count / LOOKED_AT_MAX))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let index = 0; index < count; index += step) call(read(view, index * size))
}
