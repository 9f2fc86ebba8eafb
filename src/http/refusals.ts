import { BugError, EdgeError, ERROR_CODES, type ErrorCode } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'

const LOG = logger('http')
const RETRY_AFTER_SECONDS = '1'

/** What was not answered with what was asked for: each counted by the code that it was refused with. */
export class Refusals {
  readonly #counts = new Map<ErrorCode, number>()
  #bugs = 0

  /** By code, those that have happened. */
  get counts(): ReadonlyMap<ErrorCode, number> {
    return this.#counts
  }

  /** Faults of this program, answered 500. */
  get bugs(): number {
    return this.#bugs
  }

  /** Every answer but a good one carries `{"error": text}`: clients read it from the body. */
  answer(error: unknown): Response {
    if (!(error instanceof EdgeError)) return this.#answerBug(error)
    this.#counts.set(error.code, (this.#counts.get(error.code) ?? 0) + 1)
    const { http, retry } = ERROR_CODES[error.code]
    const headers = retry ? { 'Retry-After': RETRY_AFTER_SECONDS } : {}
    return Response.json({ error: error.message }, { status: http, headers })
  }

  #answerBug(error: unknown): Response {
    this.#bugs += 1
    const event = error instanceof BugError ? 'http.bug' : 'http.unexpected_error'
    LOG.error(event, { error: String(error), stack: error instanceof Error ? error.stack : undefined })
    return Response.json({ error: 'Internal error: see the log' }, { status: 500 })
  }
}
