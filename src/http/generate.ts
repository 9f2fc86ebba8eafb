import type { Permit } from '../inference/engine.ts'
import type { Lane } from '../inference/lane.ts'
import type { Tensor } from '../runtime/backend.ts'
import { readBody } from './body.ts'
import { decodeGenerateRequest } from './generate-request.ts'
import { type InferParts, type InferRoute, laneFor, withLane } from './infer.ts'
import { encodeJsonData } from './json-tensor.ts'

const STREAM_HEADERS = { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' }
const JSON_HEADERS = { 'Content-Type': 'application/json' }

/**
 * Triton's generate extension. Models here answer once, so a stream is one event; an answer that is an error has its
 * status and is no stream, as there when the first response is one.
 */
export async function answerGenerate(
  request: Request,
  route: InferRoute & { readonly isStream: boolean },
  parts: InferParts,
): Promise<Response> {
  return await withLane({ request, route }, parts, async (lane, permit) => {
    const json = await generate(lane, { request, route, permit }, parts)
    if (!route.isStream) return new Response(json, { headers: JSON_HEADERS })
    return new Response(`data: ${json}\n\n`, { headers: STREAM_HEADERS })
  })
}

async function generate(
  announced: Lane,
  { request, route, permit }: { request: Request; route: InferRoute; permit: Permit },
  parts: InferParts,
): Promise<string> {
  const body = await readBody(request, parts.bodyBytesMax, permit.hold)
  const { id, inputs, priority, timeoutMs, sequence } = decodeGenerateRequest(body, announced)
  const { signal } = request
  // Once more: while the body came in another version may have taken over.
  const lane = await laneFor({ request, route, sequence }, parts.engine)
  const result = await lane.infer({ inputs, outputs: undefined, signal, priority, timeoutMs, sequence })
  try {
    const head = { ...(id === '' ? {} : { id }), model_name: lane.model, model_version: lane.version }
    return `${JSON.stringify(head).slice(0, -1)}${result.outputs.map(writeOutput).join('')}}`
  } finally {
    result.release()
  }
}

/** One element stands by itself, several are a list, row by row. */
function writeOutput(output: Tensor): string {
  const list = encodeJsonData(output)
  const isSingle = output.shape.every((size) => size === 1)
  return `,${JSON.stringify(output.name)}:${isSingle ? list.slice(1, -1) : list}`
}
