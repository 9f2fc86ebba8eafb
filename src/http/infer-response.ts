import type { Tensor } from '../runtime/backend.ts'
import type { DecodedRequest } from './infer-request.ts'
import { encodeJsonData } from './json-tensor.ts'

export interface Answer {
  readonly id: string
  readonly model: string
  readonly version: string
  readonly outputs: readonly Tensor[]
}

const encoder = new TextEncoder()

/**
 * The answer in one piece, so that it leaves in one write. An output in JSON carries no `parameters` (the C++ client
 * would then insist on a binary size); binary data follows the JSON in the order of the outputs.
 */
export function encodeInferResponse(
  answer: Answer,
  wants: Pick<DecodedRequest, 'outputs' | 'isBinaryOutput'>,
): Response {
  const blobs: Uint8Array[] = []
  const outputs = answer.outputs.map((output, index) => {
    const isBinary = wants.outputs === undefined ? wants.isBinaryOutput : wants.outputs[index]?.isBinary
    const head = `{"name":${JSON.stringify(output.name)},"datatype":"${output.datatype}","shape":[${output.shape.join(',')}]`
    if (!isBinary) return `${head},"data":${encodeJsonData(output)}}`
    blobs.push(output.bytes)
    return `${head},"parameters":{"binary_data_size":${output.bytes.byteLength}}}`
  })
  const id = answer.id === '' ? '' : `"id":${JSON.stringify(answer.id)},`
  const json =
    `{${id}"model_name":${JSON.stringify(answer.model)},"model_version":${JSON.stringify(answer.version)},` +
    `"outputs":[${outputs.join(',')}]}`
  const binaryBytes = blobs.reduce((sum, blob) => sum + blob.byteLength, 0)
  if (binaryBytes === 0) return new Response(json, { headers: { 'Content-Type': 'application/json' } })

  const head = encoder.encode(json)
  const body = new Uint8Array(new ArrayBuffer(head.length + binaryBytes))
  body.set(head)
  let at = head.length
  for (const blob of blobs) {
    body.set(blob, at)
    at += blob.byteLength
  }
  return new Response(body, {
    headers: {
      'Content-Type': 'application/octet-stream',
      'Inference-Header-Content-Length': String(head.length),
    },
  })
}
