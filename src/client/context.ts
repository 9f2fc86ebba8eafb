import { EdgeError } from '../kit/errors.ts'

/** A refusal with what was being done in front of it; anything else is a bug and stays as it is. */
export function addContext(attempt: string, thrown: unknown): unknown {
  if (!(thrown instanceof EdgeError)) return thrown
  return new EdgeError(thrown.code, `${attempt}: ${thrown.message}`, { cause: thrown })
}
