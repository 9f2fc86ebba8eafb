import type { Tensor } from '../runtime/backend.ts'

/**
 * Of a tensor so many elements are looked at, spread over all of it: a model that has gone wrong rarely answers NaN in one
 * place only, and an answer of megabytes must not cost more for being watched.
 */
const LOOKED_AT_MAX = 1024

const FLOATS = { FP16: Float16Array, FP32: Float32Array, FP64: Float64Array } as const

/** Whether a number in the answer is NaN or infinite, as far as it is looked at. */
export function areFinite(outputs: readonly Tensor[]): boolean {
  for (const output of outputs) if (!isTensorFinite(output)) return false
  return true
}

function isTensorFinite({ datatype, bytes }: Tensor): boolean {
  if (datatype !== 'FP32' && datatype !== 'FP16' && datatype !== 'FP64') return true
  const Kind = FLOATS[datatype]
  const size = Kind.BYTES_PER_ELEMENT
  if (bytes.byteOffset % size !== 0) return true
  const values = new Kind(bytes.buffer as ArrayBuffer, bytes.byteOffset, Math.floor(bytes.byteLength / size))
  const step = Math.max(1, Math.ceil(values.length / LOOKED_AT_MAX))
  // Nothing times zero is anything but zero, except what is not finite: one test for all instead of one for each.
  let sum = 0
  for (let index = 0; index < values.length; index += step) sum += (values[index] as number) * 0
  return sum === 0
}
