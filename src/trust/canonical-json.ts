/**
 * JSON with exactly one way to write each value: keys sorted, no space, integers and strings only. What is signed is
 * bytes, and two programs that mean the same must sign the same.
 */

export type CanonicalValue =
  | string
  | number
  | boolean
  | null
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue | undefined }

export interface CanonicalBounds {
  readonly bytesMax: number
  readonly depthMax: number
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeCanonical(value: CanonicalValue): Uint8Array {
  return encoder.encode(textOf(value))
}

/** The value, if these bytes are the one way to write it. Looks at the bounds before anything is made of the bytes. */
export function decodeCanonical(bytes: Uint8Array, bounds: CanonicalBounds): CanonicalValue {
  const value = decodeJson(bytes, bounds) as CanonicalValue
  if (Buffer.compare(encodeCanonical(value), bytes) !== 0) {
    throw new TypeError('the JSON is not canonical: sorted keys, no space, each key once, integers only')
  }
  return value
}

/** Any JSON within bounds; throws a TypeError that says what is wrong. */
export function decodeJson(bytes: Uint8Array, { bytesMax, depthMax }: CanonicalBounds): unknown {
  if (bytes.length > bytesMax) throw new RangeError(`${bytes.length} bytes, at most ${bytesMax}`)
  const depth = depthOf(bytes)
  if (depth > depthMax) throw new RangeError(`values ${depth} deep, at most ${depthMax}`)
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch (cause) {
    throw new TypeError('the bytes are not JSON in UTF-8', { cause })
  }
}

function textOf(value: CanonicalValue): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return textOfString(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new TypeError(`${value} is not an integer that JSON keeps exactly`)
    }
    return String(value)
  }
  if (isList(value)) return `[${value.map(textOf).join(',')}]`
  const members = Object.entries(value).filter(
    (member): member is [string, CanonicalValue] => member[1] !== undefined,
  )
  members.sort(([one], [other]) => (one < other ? -1 : 1))
  return `{${members.map(([key, member]) => `${textOfString(key)}:${textOf(member)}`).join(',')}}`
}

const isList = (value: object): value is readonly CanonicalValue[] => Array.isArray(value)

function textOfString(text: string): string {
  // Half a surrogate pair has no bytes of its own in UTF-8: two texts would become one.
  if (!text.isWellFormed()) throw new TypeError('a string holds half a surrogate pair')
  return JSON.stringify(text)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** How deep arrays and objects lie within each other, without making any. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0
  let deepest = 0
  let isText = false
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index]
    if (isText) {
      if (byte === BACKSLASH) index += 1
      else if (byte === QUOTE) isText = false
    } else if (byte === QUOTE) isText = true
    else if (byte === 0x5b || byte === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (byte === 0x5d || byte === 0x7d) depth -= 1
  }
  return deepest
}
