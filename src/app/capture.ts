import { join } from 'node:path'
import { z } from 'zod'
import { Capture, type CaptureSnapshot } from '../capture/capture.ts'
import { CaptureRules } from '../capture/rules.ts'
import { Segments } from '../capture/segments.ts'
import type { Config } from '../config/config.ts'
import type { ModelSettings } from '../config/model-settings.ts'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, ERROR_CODES } from '../kit/errors.ts'
import type { Family } from '../kit/metrics-text.ts'
import { systemRandom } from '../kit/random.ts'

export function captureFolderOf(state: string): string {
  return join(state, 'capture')
}

/** Where the agent steers it: on the socket in the state folder alone, since it is about what other people have sent. */
export const CAPTURE_PATH = '/limpet/capture'

export async function openCapture(
  { capture: { allowed, bytes_max, bytes_per_minute_max } }: Config,
  from: { readonly state: string; readonly settings: (model: string) => ModelSettings | undefined },
): Promise<Capture> {
  const clock = systemClock
  return new Capture({
    rules: new CaptureRules({
      clock,
      configured: allowed ? (model) => ruleOf(from.settings(model)) : () => undefined,
    }),
    segments: await Segments.open(captureFolderOf(from.state), { clock, bytesMax: bytes_max }),
    clock,
    random: systemRandom,
    bytesPerMinuteMax: bytes_per_minute_max,
  })
}

function ruleOf(settings: ModelSettings | undefined) {
  const capture = settings?.capture
  if (capture === undefined || (capture.percent === 0 && !capture.on_failure)) return undefined
  return { percent: capture.percent, onFailure: capture.on_failure, bytesMax: capture.bytes_max }
}

const Order = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('start'),
    model: z.string().min(1).max(256),
    percent: z.number().min(0).max(100),
    on_failure: z.boolean(),
    seconds: z.int().min(1).max(86_400),
  }),
  z.strictObject({
    action: z.literal('stop'),
    model: z.string().min(1).max(256),
    seconds: z.int().min(1).max(86_400),
  }),
  /** What was taken is on disk when this is answered. */
  z.strictObject({ action: z.literal('flush') }),
])

/** Undefined: the request is about something else. */
export function captureHandler(
  capture: Capture,
  of: { readonly path: string; readonly isAllowed: boolean; readonly isKnown: (model: string) => boolean },
): (request: Request) => Promise<Response> | undefined {
  return (request) => {
    if (new URL(request.url).pathname !== of.path) return undefined
    return answer(request, { capture, ...of }).catch((error: unknown) => {
      if (!(error instanceof EdgeError)) throw error
      return Response.json({ error: error.message }, { status: ERROR_CODES[error.code].http })
    })
  }
}

async function answer(
  request: Request,
  {
    capture,
    isAllowed,
    isKnown,
  }: { capture: Capture; isAllowed: boolean; isKnown: (model: string) => boolean },
): Promise<Response> {
  if (request.method === 'POST') {
    const parsed = Order.safeParse(await request.json().catch(() => undefined))
    if (!parsed.success)
      throw new EdgeError('input_invalid', `Cannot read the order: ${z.prettifyError(parsed.error)}`)
    const order = parsed.data
    if (order.action === 'flush') await capture.flush()
    else if (!isAllowed) {
      throw new EdgeError(
        'forbidden',
        'Cannot capture: capture.allowed is false in the config of this device',
      )
    } else if (!isKnown(order.model)) {
      throw new EdgeError('model_unknown', `Cannot capture "${order.model}": no such model is served`)
    } else if (order.action === 'stop') capture.rules.stop(order.model, order)
    else capture.rules.start(order.model, { ...order, onFailure: order.on_failure })
  }
  return Response.json(capture.snapshot)
}

/** One sample for each model, and each reason that something was let go for. */
export function captureFamilies({ models, dropped }: CaptureSnapshot): Family[] {
  return [
    {
      name: 'limpet_capture_records_total',
      help: 'Requests that were kept, by why',
      type: 'counter',
      samples: models.flatMap(({ model, captured }) =>
        Object.entries(captured).map(([reason, value]) => ({ labels: { model, reason }, value })),
      ),
    },
    {
      name: 'limpet_capture_dropped_total',
      help: 'Requests that should have been kept and were let go, by why',
      type: 'counter',
      samples: Object.entries(dropped).map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      name: 'limpet_capture_bytes',
      help: 'What the requests that are kept take on disk',
      type: 'gauge',
      samples: models.map(({ model, bytes }) => ({ labels: { model }, value: bytes })),
    },
  ]
}
