import type { Engine } from '../inference/engine.ts'
import { readBody } from './body.ts'
import { decodeInferRequest } from './infer-request.ts'
import { encodeInferResponse } from './infer-response.ts'
import { decodeRawRequest } from './raw-request.ts'

export interface InferRoute {
  readonly model: string
  readonly version: string | undefined
}

/** One request: admitted, read, decoded, run, answered. What goes wrong is thrown and answered at the edge. */
export async function answerInfer(
  request: Request,
  route: InferRoute,
  to: { engine: Engine; bodyBytesMax: number },
): Promise<Response> {
  to.engine.enter()
  try {
    // Before the body is read: nobody should have to send it to a model that is not there.
    const lane = to.engine.lanes.find(route.model, route.version)
    const body = await readBody(request, to.bodyBytesMax)
    const headerLength = request.headers.get('inference-header-content-length')
    const decoded =
      headerLength === '0'
        ? decodeRawRequest(body, { id: lane.id, signature: lane.session.signature })
        : decodeInferRequest(body, headerLength)
    const result = await to.engine.infer({
      model: route.model,
      version: lane.version,
      inputs: decoded.inputs,
      outputs: decoded.outputs?.map(({ name }) => name),
      signal: request.signal,
    })
    try {
      return encodeInferResponse({ ...result, id: decoded.id }, decoded)
    } finally {
      result.release()
    }
  } finally {
    to.engine.leave()
  }
}
