import { readBody } from './body.ts'
import { type InferParts, type InferRoute, laneFor, withLane } from './infer.ts'
import { inferWatched } from './watched.ts'

/**
 * Triton's generate extension. An answer that is an error has its status and is no stream, as there when the first
 * response is one.
 */
export async function answerGenerate(
  request: Request,
  route: InferRoute & { readonly isStream: boolean },
  parts: InferParts,
): Promise<Response> {
  const { codec, engine, bodyBytesMax } = parts
  return await withLane({ request, route }, parts, async (announced, permit) => {
    const body = await readBody(request, bodyBytesMax, permit.hold)
    const { session, batchSizeMax } = announced
    const { signature } = session
    const decoded = await codec.decode('generate', { body, signature, batchSizeMax })
    const { id, inputs, priority, timeoutMs, sequence } = decoded
    const { signal } = request
    // Once more: while the body came another version may have taken over.
    const lane = await laneFor({ request, route, sequence }, engine)
    const asked = { inputs, outputs: undefined, signal, priority, timeoutMs, sequence }
    const result = await inferWatched(lane, asked, { id, watch: parts.watch })
    try {
      const form = route.isStream ? 'event' : 'flat'
      const { model, version } = lane
      const { outputs } = result
      const answer = await codec.encode({ form, id, model, version, outputs, wants: decoded, labels: [] })
      return new Response(answer.body, { headers: answer.headers })
    } finally {
      result.release()
    }
  })
}
