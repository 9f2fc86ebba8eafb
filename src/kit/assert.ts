import { BugError } from './errors.ts'

/** Checks a claim about our own code, never about input. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new BugError(`Broken claim: ${claim}`)
}

/** The value, which the code around it has made sure of. */
export function present<T>(value: T | null | undefined, claim: string): T {
  assert(value !== null && value !== undefined, claim)
  return value
}
