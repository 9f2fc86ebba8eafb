/**
 * Datatypes as the Open Inference Protocol names them, with `ONNXTensorElementDataType` of onnxruntime_c_api.h.
 * The protocol's list ends at BF16; the rest are ONNX Runtime's, named in the same manner, and travel as raw bytes.
 */
export const DATATYPES = {
  FP32: { ort: 1, bits: 32 },
  UINT8: { ort: 2, bits: 8 },
  INT8: { ort: 3, bits: 8 },
  UINT16: { ort: 4, bits: 16 },
  INT16: { ort: 5, bits: 16 },
  INT32: { ort: 6, bits: 32 },
  INT64: { ort: 7, bits: 64 },
  /** Strings of any bytes; each element as uint32 length and that many bytes. */
  BYTES: { ort: 8, bits: 0 },
  BOOL: { ort: 9, bits: 8 },
  FP16: { ort: 10, bits: 16 },
  FP64: { ort: 11, bits: 64 },
  UINT32: { ort: 12, bits: 32 },
  UINT64: { ort: 13, bits: 64 },
  COMPLEX64: { ort: 14, bits: 64 },
  COMPLEX128: { ort: 15, bits: 128 },
  BF16: { ort: 16, bits: 16 },
  FP8E4M3FN: { ort: 17, bits: 8 },
  FP8E4M3FNUZ: { ort: 18, bits: 8 },
  FP8E5M2: { ort: 19, bits: 8 },
  FP8E5M2FNUZ: { ort: 20, bits: 8 },
  /** Two elements a byte, the first in the low bits; a last odd one fills its byte. */
  UINT4: { ort: 21, bits: 4 },
  INT4: { ort: 22, bits: 4 },
  FP4E2M1: { ort: 23, bits: 4 },
} as const satisfies Record<string, { ort: number; bits: number }>

export type Datatype = keyof typeof DATATYPES

const NAMES = new Map(Object.entries(DATATYPES).map(([name, { ort }]) => [ort as number, name as Datatype]))

export function datatypeOf(ortType: number): Datatype | undefined {
  return NAMES.get(ortType)
}

export function isDatatype(name: string): name is Datatype {
  return Object.hasOwn(DATATYPES, name)
}

/** Bytes of a tensor with so many elements. Not for BYTES, whose elements have lengths of their own. */
export function byteLength(datatype: Datatype, elements: number): number {
  return Math.ceil((DATATYPES[datatype].bits * elements) / 8)
}

/** Product of the dimensions; 1 for a scalar. May exceed what a number holds exactly: the caller bounds it. */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const dimension of shape) count *= dimension
  return count
}
