import type { Tensor } from '../runtime/backend.ts'
import type { EncodedAnswer } from './compress.ts'
import { invalid } from './fields.ts'
import type { DecodedRequest } from './infer-request.ts'
import { encodeJsonData } from './json-tensor.ts'

export interface Answer {
  readonly id: string
  readonly model: string
  readonly version: string
  readonly outputs: readonly Tensor[]
}

const encoder = new TextEncoder()
const JSON_HEADERS = { 'Content-Type': 'application/json' } as const

/**
 * The answer in one piece, so that it leaves in one write. An output in JSON carries no `parameters` (the C++ client
 * would then insist on a binary size); binary data follows the JSON in the order of the outputs. What goes into shared
 * memory has been written there before (`writeShared`).
 */
export function encodeInferResponse(
  answer: Answer,
  wants: Pick<DecodedRequest, 'outputs' | 'isBinaryOutput'>,
): EncodedAnswer {
  const blobs: Uint8Array[] = []
  const outputs = answer.outputs.map((output, index) => {
    const wanted = wants.outputs?.[index]
    const isBinary = wants.outputs === undefined ? wants.isBinaryOutput : wanted?.isBinary
    const head = `{"name":${JSON.stringify(output.name)},"datatype":"${output.datatype}","shape":[${output.shape.join(',')}]`
    if (wanted?.shared !== undefined) return `${head}}`
    if (!isBinary) return `${head},"data":${encodeJsonData(output)}}`
    blobs.push(output.bytes)
    return `${head},"parameters":{"binary_data_size":${output.bytes.byteLength}}}`
  })
  const id = answer.id === '' ? '' : `"id":${JSON.stringify(answer.id)},`
  const json =
    `{${id}"model_name":${JSON.stringify(answer.model)},"model_version":${JSON.stringify(answer.version)},` +
    `"outputs":[${outputs.join(',')}]}`
  const binaryBytes = blobs.reduce((sum, blob) => sum + blob.byteLength, 0)
  if (binaryBytes === 0) return { body: json, headers: JSON_HEADERS }

  const head = encoder.encode(json)
  const body = new Uint8Array(new ArrayBuffer(head.length + binaryBytes))
  body.set(head)
  let at = head.length
  for (const blob of blobs) {
    body.set(blob, at)
    at += blob.byteLength
  }
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(head.length),
  }
  return { body, headers }
}

/** Its item in the answer has neither `data` nor `parameters`: the client knows where to look. */
export function writeShared({ name, bytes }: Tensor, into: Uint8Array): void {
  if (bytes.byteLength > into.byteLength) {
    throw invalid(
      `shared memory size specified with the request for output '${name}' (${into.byteLength} bytes) should be at least ${bytes.byteLength} bytes to hold the results`,
    )
  }
  into.set(bytes)
}
