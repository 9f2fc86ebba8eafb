import { EdgeError } from './errors.ts'

/**
 * JSON as real clients send it: beside RFC 8259, the bare words NaN, Infinity and -Infinity, and integers beyond 2^53,
 * which come out as bigint so that none of their digits is lost.
 *
 * `JSON.parse` does neither but is many times faster, so it goes first; this reader is for the texts that it refuses
 * or would round.
 */
export const JSON_DEPTH_MAX = 100

/** A run of digits this long may be an integer beyond 2^53. It may also be a fraction, which loses nothing. */
export function mayRound(text: string): boolean {
  return /\d{16}/.test(text)
}

/** `keepsIntegers`: read each integer exactly, at the price of the slow reader. */
export function parseExactJson(text: string, options = { keepsIntegers: mayRound(text) }): unknown {
  if (!options.keepsIntegers) {
    try {
      return JSON.parse(text)
    } catch {
      // Either one of the words that only the exact reader takes, or a fault that it describes with its place.
    }
  }
  return new ExactReader(text).read()
}

const NUMBER = /-?(?:Infinity|(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)/y
const LETTER = /[a-zN]/
const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
])

class ExactReader {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  read(): unknown {
    const value = this.#readValue()
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#fault('nothing more')
    return value
  }

  #readValue(): unknown {
    this.#skipSpace()
    const next = this.#text[this.#at]
    if (next === '{') return this.#nested(() => this.#readObject())
    if (next === '[') return this.#nested(() => this.#readArray())
    if (next === '"') return this.#readString()
    return next !== undefined && LETTER.test(next) ? this.#readWord() : this.#readNumber()
  }

  #readWord(): unknown {
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#at)) continue
      this.#at += word.length
      return value
    }
    return this.#readNumber()
  }

  #nested<T>(read: () => T): T {
    this.#depth += 1
    if (this.#depth > JSON_DEPTH_MAX) {
      throw new EdgeError(
        'input_invalid',
        `JSON nesting depth exceeds maximum allowed limit (${JSON_DEPTH_MAX})`,
      )
    }
    const value = read()
    this.#depth -= 1
    return value
  }

  #readObject(): Record<string, unknown> {
    const object: Record<string, unknown> = Object.create(null)
    this.#at += 1
    if (this.#take('}')) return object
    do {
      this.#skipSpace()
      const key = this.#readString()
      if (!this.#take(':')) throw this.#fault('":"')
      object[key] = this.#readValue()
    } while (this.#take(','))
    if (!this.#take('}')) throw this.#fault('"," or "}"')
    return object
  }

  #readArray(): unknown[] {
    const array: unknown[] = []
    this.#at += 1
    if (this.#take(']')) return array
    do array.push(this.#readValue())
    while (this.#take(','))
    if (!this.#take(']')) throw this.#fault('"," or "]"')
    return array
  }

  /** Its end is looked for by hand: a pattern over a string of megabytes silently matches nothing. */
  #readString(): string {
    const start = this.#at
    if (this.#text[start] !== '"') throw this.#fault('a string')
    let end = this.#text.indexOf('"', start + 1)
    while (end > 0 && isEscaped(this.#text, end)) end = this.#text.indexOf('"', end + 1)
    if (end < 0) throw this.#fault('the end of a string')
    try {
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string
      this.#at = end + 1
      return value
    } catch (cause) {
      throw new EdgeError('input_invalid', this.#fault('a string').message, { cause })
    }
  }

  #readNumber(): number | bigint {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (match === null) throw this.#fault('a value')
    this.#at = NUMBER.lastIndex
    const [token, fraction, exponent] = match
    const value = Number(token)
    const isInteger = fraction === undefined && exponent === undefined && Number.isFinite(value)
    return isInteger && !Number.isSafeInteger(value) ? BigInt(token) : value
  }

  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  /** By hand: a pattern costs many times as much, and this is done around every element. */
  #skipSpace(): void {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at += 1
  }

  #fault(expected: string): EdgeError {
    const came =
      this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 16)) : 'the end'
    return new EdgeError(
      'input_invalid',
      `Cannot parse JSON at character ${this.#at}: ${came}, expected ${expected}`,
    )
  }
}

/** Whether an odd number of backslashes stands before the character. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text[at - 1 - backslashes] === '\\') backslashes += 1
  return backslashes % 2 === 1
}

/** Space, tab, line feed, carriage return. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d
}
