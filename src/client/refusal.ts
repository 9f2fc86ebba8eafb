import { EdgeError, type ErrorCode, messageOf } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import type { Reply, Server } from './server.ts'
import { quote, toPrintable } from './text.ts'

const TEXT_BYTES_MAX = 1024 ** 2

const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'input_invalid',
  404: 'model_unknown',
  413: 'body_too_large',
  429: 'queue_full',
  503: 'model_unavailable',
  504: 'deadline_exceeded',
}

/** The server's own words, `{"error": "…"}`, which are about what the person sent or about its state. */
export function refusalOf(server: Server, attempt: string, reply: Reply): EdgeError {
  const code = CODES[reply.status] ?? 'peer_failed'
  return new EdgeError(
    code,
    `Cannot ${attempt}: ${server.url} answered ${reply.status}: ${readErrorText(reply.body)}`,
  )
}

function readErrorText(body: Uint8Array): string {
  const text = new TextDecoder().decode(body.subarray(0, TEXT_BYTES_MAX))
  try {
    const answer = parseExactJson(text)
    if (answer !== null && typeof answer === 'object' && 'error' in answer) {
      return toPrintable(messageOf(answer.error))
    }
  } catch {
    // Not JSON: a proxy's page, perhaps. Its beginning is shown as it is.
  }
  return text.trim() === '' ? 'no reason given' : quote(messageOf(text))
}

/** What `fetch` met, in words for the person who has to mend it. */
export function explainFailure({ url, timeoutMs }: Server, cause: unknown): unknown {
  if (cause instanceof EdgeError) return cause
  if (cause instanceof DOMException && cause.name === 'TimeoutError') {
    const message = `Cannot get an answer from ${url}: none within ${timeoutMs} ms; a longer wait is --timeout-ms N`
    return new EdgeError('deadline_exceeded', message, { cause })
  }
  return new EdgeError(
    'peer_failed',
    `Cannot reach ${url}: ${describeReason(cause)}; start the server with "limpet up --models DIR", or name ` +
      'another one with --url',
    { cause },
  )
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it closed the connection',
  ENOTFOUND: 'nobody knows that host',
}

/** Bun's own words are for its programmers. */
function describeReason(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return REASONS[code] ?? messageOf(cause)
}
