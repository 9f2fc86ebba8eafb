import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { readBounded } from './bounded.ts'
import { explainFailure } from './refusal.ts'
import { quote } from './text.ts'

const MEBIBYTE = 1024 ** 2
const REPLY_BYTES_MAX = 256 * MEBIBYTE
/** What a timer can hold. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** Where to send requests. Bun keeps the connection between them, so that a sequence needs one. */
export interface Server {
  readonly url: string
  readonly timeoutMs: number
  readonly clock: Clock
}

/** Refuses what `fetch` would only complain about later, in words of its own. */
export function openServer(server: Server): Server {
  const url = URL.canParse(server.url) ? new URL(server.url) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new EdgeError(
      'input_invalid',
      `Cannot use the URL ${quote(server.url)}: wanted one like http://127.0.0.1:8000`,
    )
  }
  if (!Number.isInteger(server.timeoutMs) || server.timeoutMs < 1 || server.timeoutMs > TIMEOUT_MS_MAX) {
    throw new EdgeError(
      'input_invalid',
      `Cannot wait ${server.timeoutMs} ms: wanted a whole number from 1 to ${TIMEOUT_MS_MAX}`,
    )
  }
  return { ...server, url: server.url.replace(/\/+$/, '') }
}

interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array<ArrayBuffer> | string
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
  /** From before the request was sent until the last byte of the answer. */
  readonly tookMs: number
}

export async function callServer(server: Server, call: Call): Promise<Reply> {
  const begin = server.clock.elapsed()
  try {
    const response = await fetch(server.url + call.path, {
      method: call.method,
      headers: { ...call.headers },
      body: call.body ?? null,
      redirect: 'manual',
      // The signal is the only limit: Bun's own, five minutes without a byte, would cut a longer one short.
      timeout: false,
      signal: AbortSignal.timeout(server.timeoutMs),
    })
    const body = response.body === null ? new Uint8Array() : await readBounded(response.body, REPLY_BYTES_MAX)
    if (body === undefined) throw tooLarge(server)
    return {
      status: response.status,
      headers: response.headers,
      body,
      tookMs: server.clock.elapsed() - begin,
    }
  } catch (cause) {
    throw explainFailure(server, cause)
  }
}

function tooLarge({ url }: Server): EdgeError {
  const mebibytes = REPLY_BYTES_MAX / MEBIBYTE
  return new EdgeError('peer_failed', `Cannot take the answer of ${url}: it is larger than ${mebibytes} MiB`)
}
