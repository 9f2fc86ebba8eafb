import { EdgeError } from '../kit/errors.ts'
import type { Signature, TensorSpec } from '../runtime/backend.ts'
import { byteLength, elementCount } from '../runtime/datatypes.ts'
import type { DecodedRequest } from './infer-request.ts'

/**
 * A body that is nothing but the data of the model's only input (binary tensor data extension, "raw binary request"):
 * the shape is the model's own, with at most one open dimension to be worked out from the length.
 */
export function decodeRawRequest(
  body: ArrayBuffer,
  lane: { id: string; session: { signature: Signature } },
): DecodedRequest {
  const [spec, ...more] = lane.session.signature.inputs
  const refuse = (what: string) =>
    new EdgeError('input_invalid', `Cannot infer with "${lane.id}" from raw binary: ${what}`)
  if (spec === undefined || more.length > 0) {
    throw refuse(`the model has ${lane.session.signature.inputs.length} inputs, expected exactly 1`)
  }
  const bytes = new Uint8Array(body)
  const input =
    spec.datatype === 'BYTES'
      ? { shape: spec.shape?.map(() => 1) ?? [1], bytes: prefixLength(bytes) }
      : { shape: inferShape(spec, bytes.length, refuse), bytes }
  const tensor = { name: spec.name, datatype: spec.datatype, ...input }
  return { id: '', inputs: [tensor], outputs: undefined, isBinaryOutput: true }
}

function inferShape(spec: TensorSpec, bytes: number, refuse: (what: string) => EdgeError): number[] {
  if (spec.shape === undefined) throw refuse(`input "${spec.name}" has no fixed rank, send its shape in JSON`)
  const open = spec.shape.filter((dimension) => dimension === -1).length
  if (open > 1)
    throw refuse(`input "${spec.name}" has ${open} open dimensions, at most 1; send its shape in JSON`)
  const known = elementCount(spec.shape.map((dimension) => (dimension === -1 ? 1 : dimension)))
  const elements = open === 1 ? Math.floor(bytes / Math.max(1, byteLength(spec.datatype, known))) : 1
  const shape = spec.shape.map((dimension) => (dimension === -1 ? elements : dimension))
  const expected = byteLength(spec.datatype, elementCount(shape))
  if (expected !== bytes)
    throw refuse(`${bytes} bytes for input "${spec.name}", expected ${expected} for [${shape.join(',')}]`)
  return shape
}

function prefixLength(bytes: Uint8Array): Uint8Array {
  const prefixed = new Uint8Array(new ArrayBuffer(4 + bytes.length))
  new DataView(prefixed.buffer).setUint32(0, bytes.length, true)
  prefixed.set(bytes, 4)
  return prefixed
}
