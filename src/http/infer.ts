import type { Engine, Permit } from '../inference/engine.ts'
import { Lane } from '../inference/lane.ts'
import type { RequestWatch } from '../inference/request-watch.ts'
import type { SequencePart } from '../inference/sequences/plan.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Tensor } from '../runtime/backend.ts'
import { freeBody, readBody } from './body.ts'
import type { Labels } from './classification.ts'
import type { Codec } from './codec.ts'
import { chooseEncoding, compressAnswer, type EncodedAnswer } from './compress.ts'
import { bindShared, type DecodedRequest } from './infer-request.ts'
import { writeShared } from './infer-response.ts'
import { decodeRawRequest } from './raw-request.ts'
import type { SharedRegions } from './shared-regions.ts'
import type { Tracer } from './tracer.ts'
import type { WantedOutput } from './wanted-outputs.ts'
import { inferWatched } from './watched.ts'

export interface InferRoute {
  readonly model: string
  readonly version: string | undefined
}

export interface InferParts {
  readonly engine: Engine
  readonly bodyBytesMax: number
  readonly codec: Codec
  /** What the classes of a model's output are called, by index. */
  readonly labels: (model: string, output: string) => Labels
  /** Undefined: shared memory is off. */
  readonly regions: SharedRegions | undefined
  readonly tracer: Tracer
  /** Undefined: nobody looks at requests. */
  readonly watch: RequestWatch | undefined
}

/** One request: admitted, read, decoded, run, answered. What goes wrong is thrown and answered at the edge. */
export function answerInfer(request: Request, route: InferRoute, parts: InferParts): Promise<Response> {
  return withLane({ request, route }, parts, (lane, permit) =>
    inferWith(lane, { request, route, permit }, parts),
  )
}

/** What is done for a request inside: with its lane, and under its permit. */
export async function withLane(
  { request, route }: { request: Request; route: InferRoute },
  { engine }: InferParts,
  answer: (lane: Lane, permit: Permit) => Promise<Response>,
): Promise<Response> {
  const permit = engine.enter()
  try {
    // Before the body is read: nobody should have to send it to a model that is not there.
    const found = laneFor({ request, route }, engine)
    const lane = found instanceof Lane ? found : await found
    try {
      lane.refuseIfFull()
      return await answer(lane, permit)
    } catch (error) {
      throw nameModel(error, lane.id)
    }
  } finally {
    permit.leave()
  }
}

/** At once where there is one: a promise would cost every request another turn of the event loop. */
export function laneFor(
  { request, route, sequence }: { request: Request; route: InferRoute; sequence?: SequencePart | undefined },
  { lanes }: Engine,
): Lane | Promise<Lane> {
  return lanes.obtain(route.model, route.version, { signal: request.signal, sequence })
}

async function inferWith(
  announced: Lane,
  { request, route, permit }: { request: Request; route: InferRoute; permit: Permit },
  parts: InferParts,
): Promise<Response> {
  const trace = parts.tracer.begin(route.model)
  trace?.mark('HTTP_RECV_START')
  const body = await readBody(request, parts.bodyBytesMax, permit.hold)
  trace?.mark('HTTP_RECV_END', 'REQUEST_START')
  const headerLength = request.headers.get('inference-header-content-length')
  const decoding =
    headerLength === '0' ? decodeRawRequest(body, announced) : decode(body, headerLength, parts)
  const decoded = decoding instanceof Promise ? await decoding : decoding
  // Once more: while the body came in another version may have taken over, and this one may be on its way out.
  const { inputs, priority, timeoutMs, isVolatile, sequence } = decoded
  const found = laneFor({ request, route, sequence }, parts.engine)
  const lane = found instanceof Lane ? found : await found
  const wanted = decoded.outputs?.map(({ name }) => name)
  const { signal } = request
  trace?.mark('QUEUE_START')
  const result = await inferWatched(
    lane,
    { inputs, outputs: wanted, signal, priority, timeoutMs, isVolatile, sequence },
    { id: decoded.id, watch: parts.watch },
  )
  trace?.run(result.times)
  let answer: EncodedAnswer
  try {
    const encoding = encode({ decoded, outputs: result.outputs, lane }, parts)
    answer = encoding instanceof Promise ? await encoding : encoding
  } finally {
    result.release()
  }
  // The run has ended and its answer is written. Where it went wrong something may still read: then it is left to itself.
  freeBody(body)
  if (trace !== undefined) {
    // Bun sends it after this has returned, and tells nobody when it has.
    trace.mark('REQUEST_END', 'HTTP_SEND_START', 'HTTP_SEND_END')
    parts.tracer.end(trace, lane)
  }
  const encoding = chooseEncoding(answer, request)
  if (encoding !== undefined) return await compressAnswer(answer, encoding)
  return new Response(answer.body, { headers: answer.headers })
}

/** At once where it is little; only what is much is worth a turn of the event loop. */
function decode(
  body: ArrayBuffer,
  headerLength: string | null,
  { codec, regions }: InferParts,
): DecodedRequest | Promise<DecodedRequest> {
  const jsonBytes = headerLength === null ? body.byteLength : Number(headerLength)
  const parsed = codec.decode('infer', { body, headerLength }, jsonBytes)
  return parsed instanceof Promise
    ? parsed.then((later) => bindShared(later, regions))
    : bindShared(parsed, regions)
}

function encode(
  { decoded, outputs, lane }: { decoded: DecodedRequest; outputs: readonly Tensor[]; lane: Lane },
  { codec, labels }: InferParts,
): EncodedAnswer | Promise<EncodedAnswer> {
  const { model, version } = lane
  const { id, outputs: wants } = decoded
  for (const [index, wanted] of wants?.entries() ?? []) {
    if (wanted.shared !== undefined) writeShared(outputs[index] as Tensor, wanted.shared)
  }
  const named = wants?.some(isClassified) ? wants.map(({ name }) => labels(model, name)) : []
  return codec.encode({ form: 'infer', id, model, version, outputs, wants: decoded, labels: named })
}

function isClassified({ classes }: WantedOutput): boolean {
  return classes !== undefined
}

/** What decoding refuses knows nothing of the model; whoever reads the message should. */
function nameModel(error: unknown, lane: string): unknown {
  if (!(error instanceof EdgeError) || error.code !== 'input_invalid' || error.message.includes(`"${lane}"`))
    return error
  // Only that word: others begin with a name, like JSON.
  const message = error.message.replace(/^Cannot\b/, 'cannot')
  return new EdgeError(error.code, `Cannot infer with "${lane}": ${message}`, { cause: error })
}
