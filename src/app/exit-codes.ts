import { EdgeError, type ErrorCode } from '../kit/errors.ts'

/** What the process ends with; sysexits(3) where it has a fitting number. The README's table is this one. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 64,
  input: 65,
  unavailable: 69,
  bug: 70,
  storage: 73,
  config: 78,
} as const

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  input_invalid: EXIT.input,
  output_unsupported: EXIT.input,
  model_unknown: EXIT.input,
  body_too_large: EXIT.input,
  peer_failed: EXIT.unavailable,
  model_unavailable: EXIT.unavailable,
  deadline_exceeded: EXIT.unavailable,
  queue_full: EXIT.unavailable,
  too_hot: EXIT.unavailable,
  storage_failed: EXIT.storage,
  storage_full: EXIT.storage,
  config_invalid: EXIT.config,
  library_unusable: EXIT.config,
}

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof EdgeError)) return EXIT.bug
  return BY_CODE[error.code] ?? EXIT.failed
}
