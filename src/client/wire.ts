import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import { joinBytes } from './bounded.ts'
import { Datatype, encodeValues } from './datatypes.ts'
import { flattenNested } from './nested.ts'
import { hasRightSize, type Tensor } from './tensor.ts'

/**
 * The binary tensor extension of the Open Inference Protocol, both ways:
 *
 *   JSON with names, shapes and sizes │ bytes of tensor 1 │ bytes of tensor 2 │ …
 *   └─ Inference-Header-Content-Length ┘
 */
export const HEADER_LENGTH = 'Inference-Header-Content-Length'

export interface BinaryRequest {
  readonly headerBytes: number
  readonly body: Uint8Array<ArrayBuffer>
}

export interface Answer {
  readonly version: string | undefined
  readonly outputs: readonly Tensor[]
}

export function encodeRequest(inputs: readonly Tensor[]): BinaryRequest {
  const header = JSON.stringify({
    inputs: inputs.map(({ name, datatype, shape, bytes }) => ({
      name,
      shape,
      datatype,
      parameters: { binary_data_size: bytes.length },
    })),
    parameters: { binary_data_output: true },
  })
  const headerBytes = new TextEncoder().encode(header)
  return {
    headerBytes: headerBytes.length,
    body: joinBytes([headerBytes, ...inputs.map(({ bytes }) => bytes)]),
  }
}

const Output = z.object({
  name: z.string(),
  datatype: Datatype,
  shape: z.array(z.int().min(0)).max(32),
  parameters: z.object({ binary_data_size: z.int().min(0).optional() }).optional(),
  data: z.array(z.unknown()).optional(),
})
type Output = z.infer<typeof Output>

const AnswerHeader = z.object({
  model_version: z.coerce.string().optional(),
  outputs: z.array(Output).max(1000),
})

/** An answer of either form: without the header field all of it is JSON. */
export function decodeAnswer(body: Uint8Array, headerLength: string | null): Answer {
  const headerBytes = headerLength === null ? body.length : Number(headerLength)
  if (!Number.isInteger(headerBytes) || headerBytes < 0 || headerBytes > body.length) {
    throw badAnswer(`${HEADER_LENGTH} is "${headerLength}", the body has ${body.length} bytes`)
  }
  const header = parseHeader(body.subarray(0, headerBytes))
  let rest = body.subarray(headerBytes)
  const outputs = header.outputs.map((output) => {
    const size = output.parameters?.binary_data_size
    const bytes = size === undefined ? encodeData(output) : rest.subarray(0, size)
    rest = rest.subarray(size ?? 0)
    return checkSize({ name: output.name, datatype: output.datatype, shape: output.shape, bytes })
  })
  if (rest.length > 0) throw badAnswer(`${rest.length} bytes are left after its last output`)
  return { version: header.model_version, outputs }
}

function parseHeader(bytes: Uint8Array): z.infer<typeof AnswerHeader> {
  let header: unknown
  try {
    header = parseExactJson(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw badAnswer(messageOf(cause))
  }
  const parsed = AnswerHeader.safeParse(header)
  if (parsed.success) return parsed.data
  throw badAnswer(messageOf(z.prettifyError(parsed.error)))
}

function encodeData({ name, datatype, data }: Output): Uint8Array {
  if (data === undefined) throw badAnswer(`output "${name}" has neither data nor a binary size`)
  try {
    return encodeValues(datatype, flattenNested(data).values)
  } catch (cause) {
    throw badAnswer(`output "${name}": ${messageOf(cause)}`)
  }
}

function checkSize(tensor: Tensor): Tensor {
  if (hasRightSize(tensor)) return tensor
  const { name, datatype, shape, bytes } = tensor
  throw badAnswer(`output "${name}" is ${datatype} [${shape.join(', ')}] and has ${bytes.length} bytes`)
}

function badAnswer(what: string): EdgeError {
  return new EdgeError('peer_failed', `Cannot read the server's answer: ${what}`)
}
