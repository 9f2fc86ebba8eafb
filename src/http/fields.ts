import { EdgeError } from '../kit/errors.ts'

/** A JSON value that a client sent, taken for what it has to be or refused with what it is. */
export type Json = Readonly<Record<string, unknown>>

/** Keys that begin with "triton_" are Triton's own, refused there too. */
export function asParameters(value: unknown, whose: string): Json {
  if (value === undefined) return {}
  const parameters = asObject(value, `"parameters" of ${whose}`)
  const reserved = Object.keys(parameters).find((key) => key.startsWith('triton_'))
  if (reserved !== undefined) throw invalid(`Cannot decode the request: parameter "${reserved}" is reserved`)
  return parameters
}

export function asBoolean(value: unknown, name: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  throw invalid(`Cannot decode the request: parameter "${name}" is ${show(value)}, expected true or false`)
}

/** A whole number of 0 or more; 0 where there is none. */
export function asCount(value: unknown, name: string): number {
  if (value === undefined) return 0
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(
    `Cannot decode the request: parameter "${name}" is ${show(value)}, expected an integer of 0 or more`,
  )
}

export function asObject(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw invalid(`Cannot decode the request: ${what} is ${show(value)}, expected an object`)
}

export function asArray(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw invalid(`Cannot decode the request: ${what} is ${show(value)}, expected an array`)
}

export function show(value: unknown): string {
  if (value === undefined) return 'missing'
  // Only the outermost level: what a client nests deeply must not overflow our stack.
  if (Array.isArray(value))
    return `[${value.slice(0, 8).map(showLeaf).join(',')}${value.length > 8 ? ',…' : ''}]`
  return showLeaf(value)
}

function showLeaf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? typeof value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

export function invalid(message: string, cause?: unknown): EdgeError {
  return new EdgeError('input_invalid', message, cause === undefined ? undefined : { cause })
}
