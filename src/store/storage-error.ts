import { EdgeError, messageOf } from '../kit/errors.ts'

/** Of the file system and of SQLite. */
const FULL = /^(ENOSPC|EDQUOT|SQLITE_FULL)$/

/** A failed write, in words: what was tried, and whether room is what is missing. Ours pass as they are. */
export function storageError(tried: string, cause: unknown): Error {
  if (cause instanceof EdgeError || !(cause instanceof Error) || !('code' in cause)) return asError(cause)
  const code = String(cause.code)
  if (FULL.test(code)) {
    return new EdgeError('storage_full', `Cannot ${tried}: the disk is full (${code})`, { cause })
  }
  return new EdgeError('storage_failed', `Cannot ${tried}: ${messageOf(cause)}`, { cause })
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(messageOf(cause))
}
