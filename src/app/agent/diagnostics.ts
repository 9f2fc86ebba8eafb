import { gzipSync } from 'node:zlib'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { ownCommand } from '../own-command.ts'
import { redactJson } from '../redact.ts'
import { LOG_PROCESSES, readLogTail } from './log-tail.ts'
import type { ServeClient } from './serve-client.ts'
import type { Status } from './status.ts'

const OUTPUT_BYTES_MAX = 4 * 1024 ** 2
const DOCTOR_MS_MAX = 60_000
const LOG_LINES = 2000
const LOG_BYTES_MAX = 512 * 1024

export interface DiagnosticsParts {
  readonly clock: Clock
  readonly logs: string
  readonly serve: ServeClient
  readonly secrets: readonly string[]
  readonly status: () => Promise<Status>
  readonly config: string | undefined
  readonly state: string
}

/** Everything that somebody far away would want to see, as one JSON document, gzipped. What cannot be had says why. */
export async function collectDiagnostics(
  parts: DiagnosticsParts,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const { lines } = await readLogTail(parts.logs, {
    processes: LOG_PROCESSES,
    lines: LOG_LINES,
    bytesMax: LOG_BYTES_MAX,
    secrets: parts.secrets,
  })
  const report = {
    format: 1,
    time: new Date(parts.clock.now()).toISOString(),
    doctor: await orReason(askDoctor(parts, signal)),
    status: await orReason(parts.status()),
    models: await orReason(parts.serve.ask('POST', '/v2/repository/index', signal)),
    metrics: await orReason(parts.serve.ask('GET', '/metrics', signal)),
    logs: lines,
  }
  return new Uint8Array(gzipSync(JSON.stringify(redactJson(report, parts.secrets))))
}

async function orReason<T>(asked: Promise<T>): Promise<T | { readonly error: string }> {
  return await asked.catch((error: unknown) => ({ error: messageOf(error) }))
}

/** Without the models: to load each of them again may be more than the device has room for. */
async function askDoctor({ config, state }: DiagnosticsParts, signal: AbortSignal): Promise<unknown> {
  const more = config === undefined ? [] : ['--config', config]
  const child = Bun.spawn([...ownCommand(), 'doctor', '--json', '--state', state, ...more], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'ignore',
    maxBuffer: OUTPUT_BYTES_MAX,
    signal: AbortSignal.any([signal, AbortSignal.timeout(DOCTOR_MS_MAX)]),
  })
  const [text] = await Promise.all([new Response(child.stdout).text(), child.exited])
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new EdgeError('runtime_failed', `Cannot read what "limpet doctor" says: ${messageOf(cause)}`, {
      cause,
    })
  }
}
