import type { PbField, PbMessage, PbValue } from '../pbtxt.ts'

/** So much is printed: enough for a file that a person wrote. */
const PROBLEMS_MAX = 50
const PROBLEM_LENGTH_MAX = 600

/** What is wrong with a file, all of it. */
export class Problems {
  readonly #found: { readonly line: number; readonly setting: string; readonly what: string }[] = []

  add(line: number, setting: string, what: string): void {
    this.#found.push({ line, setting, what })
  }

  has(setting: string): boolean {
    return this.#found.some((problem) => problem.setting === setting)
  }

  /** In the order of the file; JSON has no lines. */
  list(): string[] {
    const inOrder = [...this.#found].sort((a, b) => a.line - b.line)
    const texts = inOrder
      .slice(0, PROBLEMS_MAX)
      .map(({ line, setting, what }) => shorten(`${line === 0 ? '' : `line ${line}: `}${setting}: ${what}`))
    const more = inOrder.length - texts.length
    return more > 0 ? [...texts, `and ${more} more`] : texts
  }
}

function shorten(text: string): string {
  return text.length > PROBLEM_LENGTH_MAX ? `${text.slice(0, PROBLEM_LENGTH_MAX)}…` : text
}

interface Range {
  readonly min: number
  readonly max: number
}

const INT64: Range = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }

/**
 * A message of a known type, read field by field: what `finish` finds unread is unknown to this program. A value of
 * the wrong kind is noted and read as if it were not there, so that one mistake does not hide the next.
 */
export class MessageReader {
  /** "instance_group.gpus" within `instance_group`. */
  readonly path: string
  /** Where it begins in the file. */
  readonly line: number
  readonly #fields: ReadonlyMap<string, readonly PbField[]>
  readonly #problems: Problems
  readonly #read = new Set<string>()

  constructor(message: PbMessage, at: { path: string; line: number; problems: Problems }) {
    this.path = at.path
    this.line = at.line
    this.#problems = at.problems
    this.#fields = Map.groupBy(message.fields, ({ name }) => name)
  }

  has(name: string): boolean {
    return this.#fields.has(name)
  }

  /** Whether a field is there, whatever it says. */
  skip(name: string): boolean {
    this.#read.add(name)
    return this.#fields.has(name)
  }

  /** Notes what is wrong with a field, at its place or the message's; with the message itself for "". */
  refuse(name: string, what: string): void {
    this.#problems.add(this.#fields.get(name)?.[0]?.line ?? this.line, this.#pathOf(name), what)
  }

  /** The same for a path like "dynamic_batching.priority_levels", unless something is wrong with it already. */
  refuseAt(path: string, what: string): void {
    const [name = '', ...rest] = path.split('.')
    // A number after a name is which of those of that name.
    const index = /^\d+$/.test(rest[0] ?? '') ? Number(rest.shift()) : undefined
    const field = this.#fields.get(name)?.[index ?? 0]
    const isWhole = rest.length === 0 && index === undefined
    const within = field === undefined || isWhole ? undefined : this.#within(field.value, field)
    if (within !== undefined && rest.length === 0) within.refuse('', what)
    else if (within !== undefined) within.refuseAt(rest.join('.'), what)
    else if (!this.#problems.has(this.#pathOf(path))) this.refuse(path, what)
  }

  text(name: string): string | undefined {
    return this.#single(
      name,
      (value) => (value.kind === 'text' || value.kind === 'quoted' ? value.value : undefined),
      'a text in quotes',
    )
  }

  integer(name: string, range = INT64): number | undefined {
    return this.#single(name, (value) => toInteger(value, range), describeRange(range))
  }

  /** With or without a fraction. */
  number(name: string): number | undefined {
    return this.#single(name, toNumber, 'a number')
  }

  boolean(name: string): boolean | undefined {
    return this.#single(name, toBoolean, 'true or false')
  }

  /** An enum, as what its names stand for. */
  choice<T>(name: string, choices: Readonly<Record<string, T>>): T | undefined {
    const take = (value: PbValue) =>
      value.kind === 'word' || value.kind === 'quoted' ? pickOwn(choices, value.value) : undefined
    return this.#single(name, take, Object.keys(choices).join(', '))
  }

  message(name: string): MessageReader | undefined {
    return this.#single(name, (value, field) => this.#within(value, field), 'a message in braces')
  }

  integers(name: string, range = INT64): number[] {
    return this.#all(name, (value) => toInteger(value, range), describeRange(range))
  }

  numbers(name: string): number[] {
    return this.#all(name, toNumber, 'a number')
  }

  booleans(name: string): boolean[] {
    return this.#all(name, toBoolean, 'true or false')
  }

  messages(name: string): MessageReader[] {
    return this.#all(name, (value, field) => this.#within(value, field), 'a message in braces')
  }

  /** A map: messages of a key and a value. */
  entries<T>(
    name: string,
    from: { key: (entry: MessageReader) => string; value: (entry: MessageReader) => T | undefined },
  ): Map<string, T> {
    const entries = new Map<string, T>()
    for (const entry of this.messages(name)) {
      const [key, value] = [from.key(entry), from.value(entry)]
      entry.finish()
      if (entries.has(key)) entry.refuse('key', `"${key}" is there twice, expected once`)
      if (value === undefined && !entry.has('value')) entry.refuse('value', `is missing for "${key}"`)
      else if (value !== undefined) entries.set(key, value)
    }
    return entries
  }

  /** A map of texts, each with the entry that it stands in. */
  texts(name: string): Map<string, TextEntry> {
    return this.entries(name, {
      key: textKey,
      value: (entry) => {
        const text = entry.text('value')
        return text === undefined ? undefined : { text, entry }
      },
    })
  }

  /** Names every field that nobody has read. */
  finish(): void {
    for (const name of this.#fields.keys()) {
      if (!this.#read.has(name)) this.refuse(name, 'is unknown')
    }
  }

  #within(value: PbValue, { name, line }: PbField): MessageReader | undefined {
    if (value.kind !== 'message') return undefined
    return new MessageReader(value, { path: this.#pathOf(name), line, problems: this.#problems })
  }

  #single<T>(name: string, take: Take<T>, expected: string): T | undefined {
    const values = this.#all(name, take, expected)
    const count = this.#fields.get(name)?.length ?? 0
    if (count > 1) this.refuse(name, `is there ${count} times, expected once`)
    return values[0]
  }

  #all<T>(name: string, take: Take<T>, expected: string): T[] {
    this.#read.add(name)
    return (this.#fields.get(name) ?? []).flatMap((field) => {
      const value = take(field.value, field)
      if (value !== undefined) return [value]
      this.#problems.add(field.line, this.#pathOf(name), `is ${describe(field.value)}, expected ${expected}`)
      return []
    })
  }

  #pathOf(name: string): string {
    return [this.path, name].filter((part) => part !== '').join('.')
  }
}

export interface TextEntry {
  readonly text: string
  readonly entry: MessageReader
}

type Take<T> = (value: PbValue, field: PbField) => T | undefined

export function textKey(entry: MessageReader): string {
  return entry.text('key') ?? ''
}

/** By a name that comes from a file, which may also be "constructor". */
export function pickOwn<T>(choices: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(choices, name) ? choices[name] : undefined
}

/** As JSON has those of 64 bits. */
const QUOTED_INTEGER = /^-?\d{1,20}$/

function toInteger(value: PbValue, { min, max }: Range): number | undefined {
  const integer = toBigInt(value)
  if (integer === undefined) return undefined
  return integer >= min && integer <= max ? Number(integer) : undefined
}

function toBigInt(value: PbValue): bigint | undefined {
  if (value.kind === 'integer') return value.value
  return value.kind === 'quoted' && QUOTED_INTEGER.test(value.value) ? BigInt(value.value) : undefined
}

function toNumber(value: PbValue): number | undefined {
  if (value.kind === 'float') return value.value
  return value.kind === 'integer' ? Number(value.value) : undefined
}

function toBoolean(value: PbValue): boolean | undefined {
  if (value.kind === 'integer') return value.value === 1n ? true : value.value === 0n ? false : undefined
  if (value.kind !== 'word') return undefined
  if (['true', 'True', 't'].includes(value.value)) return true
  return ['false', 'False', 'f'].includes(value.value) ? false : undefined
}

function describeRange({ min, max }: Range): string {
  if (min === max) return String(min)
  return max === INT64.max ? (min === INT64.min ? 'an integer' : `at least ${min}`) : `${min} to ${max}`
}

function describe(value: PbValue): string {
  return value.kind === 'message'
    ? 'a message'
    : value.kind === 'text' || value.kind === 'quoted'
      ? `"${value.value}"`
      : `${value.value}`
}
