import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { type CaptureRecord, decodeRecords, type RecordTensor } from '../capture/record.ts'
import { readNumbers, type Tensor } from '../client/tensor.ts'
import { decodeAnswer, encodeRequest, HEADER_LENGTH } from '../client/wire.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { EXIT } from './exit-codes.ts'

type Print = (line: string) => void

export interface ReplayOptions {
  readonly url: string
  /** Instead of the one that was asked then. */
  readonly model: string | undefined
  readonly timeoutMs: number
  readonly json: boolean
}

interface Replayed {
  readonly time: string
  readonly id: string
  readonly model: string
  readonly version: string
  readonly reason: string
  /** As it was then; null where it was answered. */
  readonly error: CaptureRecord['error']
  /** Now. */
  readonly status: number
  readonly message: string
  /** Of all numbers of all outputs that there were then; null where nothing can be compared. */
  readonly difference_max: number | null
}

const GUNZIPPED_BYTES_MAX = 256 * 1024 ** 2

/** `limpet replay`: asks a server again what was asked then, and says how the answers differ. Gives the exit code. */
export async function runReplay(file: string, options: ReplayOptions, print: Print): Promise<number> {
  const bytes = await readRecords(file)
  const replayed: Replayed[] = []
  for (const record of decodeRecords(bytes)) {
    const now = await replay(record, options)
    replayed.push(now)
    if (!options.json) print(describe(now))
  }
  if (options.json) print(JSON.stringify(replayed))
  // What failed then may fail again.
  return replayed.every(({ status, error }) => status === 200 || error !== null) ? EXIT.ok : EXIT.failed
}

async function readRecords(file: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(file)
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
    return isGzip ? gunzipSync(bytes, { maxOutputLength: GUNZIPPED_BYTES_MAX }) : bytes
  } catch (cause) {
    throw new EdgeError('input_invalid', `Cannot read "${file}": ${messageOf(cause)}`, { cause })
  }
}

async function replay(record: CaptureRecord, options: ReplayOptions): Promise<Replayed> {
  const { time, id, version, reason, error } = record
  const model = options.model ?? record.model
  const { body, headerBytes } = encodeRequest(record.inputs as readonly Tensor[])
  const answer = await fetch(
    `${options.url.replace(/\/$/, '')}/v2/models/${encodeURIComponent(model)}/infer`,
    {
      method: 'POST',
      body,
      headers: { [HEADER_LENGTH]: String(headerBytes) },
      signal: AbortSignal.timeout(options.timeoutMs),
    },
  ).catch((cause: unknown) => {
    throw new EdgeError('peer_failed', `Cannot ask ${options.url}: ${messageOf(cause)}`, { cause })
  })
  const bytes = new Uint8Array(await answer.arrayBuffer())
  const then = { time, id, model, version, reason, error, status: answer.status }
  if (!answer.ok)
    return { ...then, message: Buffer.from(bytes).toString().slice(0, 500), difference_max: null }
  const { outputs } = decodeAnswer(bytes, answer.headers.get(HEADER_LENGTH))
  return { ...then, message: '', difference_max: differenceOf(record.outputs, outputs) }
}

function differenceOf(then: readonly RecordTensor[], now: readonly Tensor[]): number | null {
  const differences = (then as readonly Tensor[]).map((before) => {
    const after = now.find(({ name }) => name === before.name)
    if (after === undefined || after.datatype !== before.datatype || before.datatype === 'BYTES')
      return undefined
    const [one, other] = [readNumbers(before), readNumbers(after)]
    if (one.length !== other.length) return undefined
    return one.reduce((most, value, index) => Math.max(most, Math.abs(value - (other[index] ?? 0))), 0)
  })
  const known = differences.filter((difference) => difference !== undefined)
  return known.length === 0 || known.length < differences.length ? null : Math.max(...known)
}

function describe({
  time,
  id,
  model,
  version,
  reason,
  error,
  status,
  message,
  difference_max,
}: Replayed): string {
  const then = error === null ? 'answered' : `${error.code}: ${error.message}`
  const now = status === 200 ? 'answered' : `${status} ${message}`
  const differs = difference_max === null ? '' : `, differs by ${difference_max}`
  return `${time}  ${model} ${version}${id === '' ? '' : ` "${id}"`} (${reason})  then ${then}; now ${now}${differs}`
}
