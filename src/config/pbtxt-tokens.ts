import { EdgeError } from '../kit/errors.ts'
import { unescapeText } from './pbtxt-text.ts'

/** A file and its words: what every message about it begins with. */
export interface TextFile {
  readonly path: string
  readonly text: string
}

export interface Place {
  /** Both from 1. */
  readonly line: number
  readonly column: number
}

export interface Token extends Place {
  readonly kind: 'name' | 'text' | 'integer' | 'float' | 'symbol' | 'end'
  /** As it stands in the file; of a text its bytes, a character each. */
  readonly text: string
}

const SPACE = /[ \t\r\n\f\v]+|#[^\n]*/y
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y
const NUMBER = /0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?/y
const INTEGER = /^(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/
const SYMBOLS = '{}<>[]:,;-'

/** Cuts a file in the text format of Protocol Buffers into tokens; the last one is `end`, as often as it is asked for. */
export class Tokens {
  readonly #file: TextFile
  #at = 0
  #line = 1
  #lineStart = 0
  /** The one that `take` gives next. */
  next: Token

  constructor(file: TextFile) {
    this.#file = file
    this.next = this.#read()
  }

  take(): Token {
    const token = this.next
    this.next = this.#read()
    return token
  }

  takeSymbol(symbols: string): boolean {
    const isThere = this.next.kind === 'symbol' && symbols.includes(this.next.text)
    if (isThere) this.take()
    return isThere
  }

  fail(what: string, { line, column }: Place = this.next): never {
    throw new EdgeError(
      'config_invalid',
      `Cannot read "${this.#file.path}" line ${line} column ${column}: ${what}`,
    )
  }

  #read(): Token {
    this.#skipSpace()
    const { text } = this.#file
    const first = text[this.#at]
    if (first === undefined) return this.#cut('end', '')
    const name = this.#match(NAME)
    if (name !== undefined) return this.#cut('name', name)
    if (first === '"' || first === "'") return this.#readText(first)
    const number = this.#match(NUMBER)
    if (number !== undefined) return this.#readNumber(number)
    if (SYMBOLS.includes(first)) return this.#cut('symbol', first)
    const character = String.fromCodePoint(text.codePointAt(this.#at) ?? 0)
    return this.fail(`unexpected character ${JSON.stringify(character)}`, this.#here())
  }

  #readNumber(number: string): Token {
    const isWhole = INTEGER.test(number)
    const after = this.#file.text[this.#at + number.length] ?? ' '
    const isOctalGoneWrong = !isWhole && /^0[0-9]/.test(number) && !/[.eE]/.test(number)
    if (isOctalGoneWrong || /[A-Za-z0-9_.]/.test(after)) {
      this.fail(`"${(number + after).trim().slice(0, 32)}" does not make a number`, this.#here())
    }
    return this.#cut(isWhole ? 'integer' : 'float', number)
  }

  #readText(quote: string): Token {
    const { text } = this.#file
    const start = this.#at + 1
    let end = start
    while (text[end] !== quote) {
      if (end >= text.length || text[end] === '\n') {
        this.fail(`a text begins here that no ${quote} ends on this line`, this.#here())
      }
      end += text[end] === '\\' ? 2 : 1
    }
    const here = this.#here()
    const value = unescapeText(text.slice(start, end), ({ what, offset }) =>
      this.fail(what, { line: here.line, column: here.column + 1 + offset }),
    )
    this.#at = end + 1
    return { kind: 'text', text: value, ...here }
  }

  #cut(kind: Token['kind'], text: string): Token {
    const token = { kind, text, ...this.#here() }
    this.#at += text.length
    return token
  }

  #here(): Place {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 }
  }

  #skipSpace(): void {
    for (let space = this.#match(SPACE); space !== undefined; space = this.#match(SPACE)) {
      for (let at = space.indexOf('\n'); at !== -1; at = space.indexOf('\n', at + 1)) {
        this.#line += 1
        this.#lineStart = this.#at + at + 1
      }
      this.#at += space.length
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    return pattern.exec(this.#file.text)?.[0]
  }
}
