/**
 * What a caller may meet, as one table: the HTTP status it becomes and whether the same call can succeed later.
 * Status codes follow the Open Inference Protocol and Triton; Triton answers 500 for some client faults, Limpet 400.
 */
export const ERROR_CODES = {
  input_invalid: { http: 400, retry: false },
  not_ready: { http: 400, retry: true },
  output_unsupported: { http: 400, retry: false },
  unauthorized: { http: 401, retry: false },
  api_restricted: { http: 403, retry: false },
  forbidden: { http: 403, retry: false },
  model_unknown: { http: 404, retry: false },
  route_unknown: { http: 404, retry: false },
  not_found: { http: 404, retry: false },
  method_not_allowed: { http: 405, retry: false },
  conflict: { http: 409, retry: false },
  body_too_large: { http: 413, retry: false },
  encoding_unsupported: { http: 415, retry: false },
  range_invalid: { http: 416, retry: false },
  queue_full: { http: 429, retry: true },
  rate_limited: { http: 429, retry: true },
  cancelled: { http: 499, retry: false },
  runtime_failed: { http: 500, retry: false },
  unsupported: { http: 501, retry: false },
  model_unavailable: { http: 503, retry: true },
  stopping: { http: 503, retry: true },
  too_hot: { http: 503, retry: true },
  deadline_exceeded: { http: 504, retry: true },
  storage_failed: { http: 507, retry: true },
  storage_full: { http: 507, retry: false },
  config_invalid: { http: 500, retry: false },
  library_unusable: { http: 500, retry: false },
  model_invalid: { http: 500, retry: false },
  peer_failed: { http: 502, retry: true },
  untrusted: { http: 403, retry: false },
} as const satisfies Record<string, { http: number; retry: boolean }>

export type ErrorCode = keyof typeof ERROR_CODES

/** The world refuses. The message says what was tried, then what is, then what would be right. */
export class EdgeError extends Error {
  override readonly name = 'EdgeError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The code is wrong. Answered 500 by the data plane; ends the process elsewhere. */
export class BugError extends Error {
  override readonly name = 'BugError'
}

/** The words of anything that was thrown, on one line. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  return text.replaceAll(/\s+/g, ' ').trim()
}
