/** A `TensorProto` as the bytes that the protocol sends: little-endian, row-major, whichever field it was stored in. */
import { onnx } from 'onnx-proto'
import type { Datatype } from '../../src/runtime/datatypes.ts'
import { ELEMENT_TYPES, type ElementType } from '../kit/model-zoo.ts'
import type { V2Tensor } from '../kit/v2.ts'

const DATATYPE_OF: Partial<Record<ElementType, Datatype>> = {
  FLOAT: 'FP32',
  UINT8: 'UINT8',
  INT8: 'INT8',
  UINT16: 'UINT16',
  INT16: 'INT16',
  INT32: 'INT32',
  INT64: 'INT64',
  STRING: 'BYTES',
  BOOL: 'BOOL',
  FLOAT16: 'FP16',
  DOUBLE: 'FP64',
  UINT32: 'UINT32',
  UINT64: 'UINT64',
  BFLOAT16: 'BF16',
}
const DATATYPES = new Map<number, Datatype>(
  Object.entries(DATATYPE_OF).map(([type, datatype]) => [ELEMENT_TYPES[type as ElementType], datatype]),
)

/** Undefined for a sequence, for an optional without a value, and for a type that is not in the list above. */
export function readStoredTensor(file: Uint8Array, type: onnx.ITypeProto): V2Tensor | undefined {
  const isOptional = type.optionalType != null
  const tensorType = isOptional ? type.optionalType?.elemType?.tensorType : type.tensorType
  const proto = isOptional ? valueOfOptional(file) : file
  if (tensorType == null || proto === undefined) return undefined
  const stored = onnx.TensorProto.decode(proto)
  // The generator had no bfloat16 and stored the bits as UINT16.
  const isBfloat = tensorType.elemType === ELEMENT_TYPES.BFLOAT16 && stored.dataType === ELEMENT_TYPES.UINT16
  const datatype = isBfloat ? 'BF16' : DATATYPES.get(stored.dataType)
  if (datatype === undefined) return undefined
  return { name: stored.name, datatype, shape: stored.dims.map(Number), bytes: bytesOf(stored, datatype) }
}

/** `OptionalProto` is not in the generated code: 1 name, 2 element type, 3 the tensor (onnx-data.proto). */
function valueOfOptional(file: Uint8Array): Uint8Array | undefined {
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = file[at++] ?? 0
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
  }
  while (at < file.length) {
    const key = varint()
    const length = varint()
    const [field, isNumber] = [key >> 3, (key & 7) === 0]
    if (field === 3) return file.subarray(at, at + length)
    if (!isNumber) at += length
  }
  return undefined
}

function bytesOf(stored: onnx.TensorProto, datatype: Datatype): Uint8Array {
  if (datatype === 'BYTES') return joinStrings(stored.stringData)
  if (stored.rawData.length > 0) return stored.rawData.slice()
  switch (datatype) {
    case 'FP32':
      return bytesIn(Float32Array.from(stored.floatData))
    case 'FP64':
      return bytesIn(Float64Array.from(stored.doubleData))
    case 'INT64':
      return bytesIn(BigInt64Array.from(stored.int64Data, (value) => BigInt(value.toString())))
    case 'UINT64':
      return bytesIn(BigUint64Array.from(stored.uint64Data, (value) => BigInt(value.toString())))
    case 'UINT32':
      return bytesIn(Uint32Array.from(stored.uint64Data, Number))
    case 'INT32':
      return bytesIn(Int32Array.from(stored.int32Data))
    case 'INT16':
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      // The halves are stored as their bits.
      return bytesIn(Uint16Array.from(stored.int32Data))
    default:
      return Uint8Array.from(stored.int32Data)
  }
}

function bytesIn(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function joinStrings(strings: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    strings.flatMap((string) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(string.length)
      return [length, string]
    }),
  )
}
