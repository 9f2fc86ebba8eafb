import { EdgeError } from '../kit/errors.ts'
import { decodeText } from './pbtxt-text.ts'
import { type Place, type TextFile, type Token, Tokens } from './pbtxt-tokens.ts'

/**
 * The text format of Protocol Buffers, as a tree that knows no message's definition. Extensions and `Any` are left out:
 * no configuration has them.
 */
export interface PbMessage {
  readonly kind: 'message'
  /** In the order of the file; a repeated field is there several times, and so is each element of a list. */
  readonly fields: readonly PbField[]
}

export interface PbField extends Place {
  readonly name: string
  readonly value: PbValue
}

export type PbValue =
  | PbMessage
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  /** Of JSON, where enums and long integers are in quotes too: only the definition can tell. */
  | { readonly kind: 'quoted'; readonly value: string }
  /** An enum's value, or true, false, inf, nan: only the definition can tell. */
  | { readonly kind: 'word'; readonly value: string }

const LENGTH_MAX = 1024 * 1024
const DEPTH_MAX = 64
const INTEGER_LENGTH_MAX = 32
const [INTEGER_MIN, INTEGER_MAX] = [-(2n ** 63n), 2n ** 64n - 1n]

export function parsePbtxt(file: TextFile): PbMessage {
  if (file.text.length > LENGTH_MAX) {
    throw new EdgeError(
      'config_invalid',
      `Cannot read "${file.path}": it has ${file.text.length} characters, at most ${LENGTH_MAX}`,
    )
  }
  const tokens = new Tokens(file)
  const fields: PbField[] = []
  while (tokens.next.kind !== 'end') readField(tokens, fields, 0)
  return { kind: 'message', fields }
}

function readField(tokens: Tokens, fields: PbField[], depth: number): void {
  if (tokens.next.kind !== 'name') expected(tokens, 'the name of a field')
  const { text: name, line, column } = tokens.take()
  const hasColon = tokens.takeSymbol(':')
  const values = tokens.takeSymbol('[')
    ? readList(tokens, { hasColon, depth })
    : [readValue(tokens, { hasColon, depth })]
  for (const value of values) fields.push({ name, line, column, value })
  tokens.takeSymbol(',;')
}

interface Where {
  /** Only a message may do without the colon. */
  readonly hasColon: boolean
  readonly depth: number
}

function readList(tokens: Tokens, where: Where): PbValue[] {
  const values: PbValue[] = []
  if (tokens.takeSymbol(']')) return values
  do values.push(readValue(tokens, where))
  while (tokens.takeSymbol(','))
  if (!tokens.takeSymbol(']')) expected(tokens, '"," or "]"')
  return values
}

function readValue(tokens: Tokens, { hasColon, depth }: Where): PbValue {
  const { next } = tokens
  if (tokens.takeSymbol('{')) return readMessage(tokens, { close: '}', open: next, depth })
  if (tokens.takeSymbol('<')) return readMessage(tokens, { close: '>', open: next, depth })
  if (!hasColon) expected(tokens, '":" and a value, or "{"')
  if (next.kind === 'text') return readText(tokens)
  if (tokens.takeSymbol('-')) return readNegative(tokens)
  if (next.kind === 'name') return { kind: 'word', value: tokens.take().text }
  return readNumber(tokens, 1)
}

function readMessage(tokens: Tokens, from: { close: string; open: Token; depth: number }): PbMessage {
  const depth = from.depth + 1
  if (depth > DEPTH_MAX) tokens.fail(`messages are ${depth} deep, at most ${DEPTH_MAX}`, from.open)
  const fields: PbField[] = []
  while (!tokens.takeSymbol(from.close)) {
    if (tokens.next.kind === 'end') {
      tokens.fail(`the file ends within a message, expected "${from.close}"`, from.open)
    }
    readField(tokens, fields, depth)
  }
  return { kind: 'message', fields }
}

/** Texts that follow each other are one. */
function readText(tokens: Tokens): PbValue {
  const place = tokens.next
  const parts: string[] = []
  while (tokens.next.kind === 'text') parts.push(tokens.take().text)
  const value = decodeText(parts.join('')) ?? tokens.fail('the text is no UTF-8', place)
  return { kind: 'text', value }
}

function readNegative(tokens: Tokens): PbValue {
  if (tokens.next.kind !== 'name') return readNumber(tokens, -1)
  const word = tokens.next.text.toLowerCase()
  if (word !== 'inf' && word !== 'infinity' && word !== 'nan') expected(tokens, 'a number')
  tokens.take()
  return { kind: 'float', value: word === 'nan' ? Number.NaN : Number.NEGATIVE_INFINITY }
}

function readNumber(tokens: Tokens, sign: 1 | -1): PbValue {
  const { kind, text } = tokens.next
  if (kind === 'float') {
    tokens.take()
    return { kind, value: sign * Number.parseFloat(text) }
  }
  if (kind !== 'integer') expected(tokens, 'a value')
  // Before it is made: a number of a million digits takes its time.
  const value = text.length > INTEGER_LENGTH_MAX ? INTEGER_MAX + 1n : BigInt(sign) * toBigInt(text)
  if (value < INTEGER_MIN || value > INTEGER_MAX) tokens.fail('the number needs more than 64 bits')
  tokens.take()
  return { kind: 'integer', value }
}

function toBigInt(text: string): bigint {
  return BigInt(/^0[0-7]/.test(text) ? `0o${text.slice(1)}` : text)
}

function expected(tokens: Tokens, what: string): never {
  const { kind, text } = tokens.next
  const came = kind === 'end' ? 'the end of the file' : kind === 'text' ? 'a text' : `"${text.slice(0, 32)}"`
  tokens.fail(`there is ${came}, expected ${what}`)
}
