import type { Engine } from '../inference/engine.ts'
import type { Lane } from '../inference/lane.ts'
import { EdgeError } from '../kit/errors.ts'
import { readBody } from './body.ts'
import { decodeInferRequest } from './infer-request.ts'
import { encodeInferResponse } from './infer-response.ts'
import { decodeRawRequest } from './raw-request.ts'

export interface InferRoute {
  readonly model: string
  readonly version: string | undefined
}

interface InferParts {
  readonly engine: Engine
  readonly bodyBytesMax: number
}

/** One request: admitted, read, decoded, run, answered. What goes wrong is thrown and answered at the edge. */
export async function answerInfer(request: Request, route: InferRoute, parts: InferParts): Promise<Response> {
  const { engine } = parts
  engine.enter()
  try {
    // Before the body is read: nobody should have to send it to a model that is not there.
    const lane = engine.lanes.find(route.model, route.version)
    try {
      return await inferWith(lane, request, parts)
    } catch (error) {
      throw nameModel(error, lane.id)
    }
  } finally {
    engine.leave()
  }
}

async function inferWith(lane: Lane, request: Request, { bodyBytesMax }: InferParts): Promise<Response> {
  const body = await readBody(request, bodyBytesMax)
  const headerLength = request.headers.get('inference-header-content-length')
  const decoded = headerLength === '0' ? decodeRawRequest(body, lane) : decodeInferRequest(body, headerLength)
  const outputs = decoded.outputs?.map(({ name }) => name)
  const result = await lane.infer({ inputs: decoded.inputs, outputs, signal: request.signal })
  try {
    const { model, version } = lane
    return encodeInferResponse({ id: decoded.id, model, version, outputs: result.outputs }, decoded)
  } finally {
    result.release()
  }
}

/** What decoding refuses knows nothing of the model; whoever reads the message should. */
function nameModel(error: unknown, lane: string): unknown {
  if (!(error instanceof EdgeError) || error.code !== 'input_invalid' || error.message.includes(`"${lane}"`))
    return error
  // Only that word: others begin with a name, like JSON.
  const message = error.message.replace(/^Cannot\b/, 'cannot')
  return new EdgeError(error.code, `Cannot infer with "${lane}": ${message}`, { cause: error })
}
