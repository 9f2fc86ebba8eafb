import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { wholeRecords } from '../../capture/record.ts'
import { listSegments } from '../../capture/segments.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { OrderOf } from '../../link/commands.ts'
import { UPLOAD_BYTES_MAX } from '../../link/commands.ts'
import { CAPTURE_PATH, captureFolderOf } from '../capture.ts'
import type { Attachment } from './attachment.ts'
import type { ServeClient } from './serve-client.ts'

/** Before it is compressed, so that it also fits where nothing can be. */
const GATHERED_BYTES_MAX = UPLOAD_BYTES_MAX - 64 * 1024
const compress = promisify(gzip)

export interface CaptureOperationParts {
  readonly serve: ServeClient
  readonly state: string
  readonly attach: (bytes: Uint8Array<ArrayBuffer>, type: string) => Promise<Attachment>
}

/** `capture`: has the data plane keep requests of a model for a while, and brings what was kept. */
export async function captureOperation(
  order: OrderOf<'capture'>,
  { serve, state, attach }: CaptureOperationParts,
  signal: AbortSignal,
): Promise<object> {
  // The data plane knows a model by what stands after the slash.
  const model = order.model.slice(order.model.lastIndexOf('/') + 1)
  if (order.action === 'start' || order.action === 'stop') {
    const { action, percent, on_failure, seconds } = order
    const more = action === 'start' ? { percent, on_failure } : {}
    return stateOf(await serve.ask('POST', CAPTURE_PATH, signal, { action, model, seconds, ...more }), model)
  }
  const told = stateOf(await serve.ask('POST', CAPTURE_PATH, signal, { action: 'flush' }), model)
  if (order.action === 'status') return told
  const { bytes, records } = await gather(captureFolderOf(state), model)
  if (records === 0)
    throw new EdgeError('not_found', `Cannot upload what was captured of "${model}": there is nothing`)
  return {
    ...told,
    records,
    attachment: await attach(new Uint8Array(await compress(bytes)), 'application/gzip'),
  }
}

function stateOf(answer: unknown, model: string): object {
  const { models, dropped } = answer as { models: { model: string }[]; dropped: object }
  return { ...models.find((one) => one.model === model), model, dropped }
}

/** The newest files that fit, the oldest of them first, as far as their records are whole. */
async function gather(root: string, model: string): Promise<{ bytes: Buffer; records: number }> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  let records = 0
  for (const segment of (await listSegments(root)).filter((one) => one.model === model).reverse()) {
    // One that has gone meanwhile made room for newer ones.
    const file = await readFile(segment.path).catch(() => Buffer.alloc(0))
    const whole = wholeRecords(file)
    if (bytes + whole.bytes > GATHERED_BYTES_MAX) break
    bytes += whole.bytes
    records += whole.records
    pieces.unshift(file.subarray(0, whole.bytes))
  }
  return { bytes: Buffer.concat(pieces), records }
}
