import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type PbMessage, type PbValue, parsePbtxt } from '../../src/config/pbtxt.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { SEED } from '../kit/seed.ts'

const parse = (text: string) => parsePbtxt({ path: 'a/config.pbtxt', text })

/** A tree as plain values: without places, numbers and texts as themselves, a word as `{ word }`. */
function plain(message: PbMessage): unknown[] {
  const toPlain = (value: PbValue): unknown =>
    value.kind === 'message' ? plain(value) : value.kind === 'word' ? { word: value.value } : value.value
  return message.fields.map(({ name, value }) => [name, toPlain(value)])
}

/** The value of the one field that is written here. */
function readOne(text: string): unknown {
  const [field, ...rest] = plain(parse(`x: ${text}`)) as [string, unknown][]
  expect(rest).toEqual([])
  return field?.[1]
}

function messageFor(text: string): string {
  try {
    parse(text)
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError)
    expect(error).toMatchObject({ code: 'config_invalid' })
    return (error as Error).message
  }
  throw new Error(`Nothing refuses ${text}`)
}

describe('messages', () => {
  const nested = [['x', [['y', 1n]]]]
  test.each([
    'x { y: 1 }',
    'x: { y: 1 }',
    'x < y: 1 >',
    'x: <y:1>',
    'x {y:1,},',
    'x {\n y: 1;\n};',
    'x [{ y: 1 }]',
    'x: [<y: 1>]',
    '# first\nx # second\n{ # } third\r\ny: 1 }# last',
  ])('%j', (text) => {
    expect(plain(parse(text))).toEqual(nested)
  })

  test('nothing is an empty one', () => {
    expect(plain(parse(' # nothing'))).toEqual([])
    expect(plain(parse('x {}'))).toEqual([['x', []]])
  })

  test('a repeated field and a list are the same', () => {
    const three = [1n, 2n, 3n].map((value) => ['x', value])
    expect(plain(parse('x: 1 x: 2, x: 3'))).toEqual(three)
    expect(plain(parse('x: [1, 2, 3]'))).toEqual(three)
    expect(plain(parse('x: [ 1 ]; x: [2,3] x: []'))).toEqual(three)
    expect(plain(parse('x [{ y: 1 }, < y: 2 >]'))).toEqual([
      ['x', [['y', 1n]]],
      ['x', [['y', 2n]]],
    ])
  })

  test('fields know their place', () => {
    const { fields } = parse('# head\nx: 1\n  yy {\n\tz: 2\n}')
    expect(fields).toMatchObject([
      { name: 'x', line: 2, column: 1 },
      { name: 'yy', line: 3, column: 3, value: { fields: [{ name: 'z', line: 4, column: 2 }] } },
    ])
  })
})

describe('numbers', () => {
  test.each([
    ['0', 0n],
    ['-0', 0n],
    ['42', 42n],
    ['- 42', -42n],
    ['0x1F', 31n],
    ['-0Xff', -255n],
    ['017', 15n],
    ['18446744073709551615', 2n ** 64n - 1n],
    ['-9223372036854775808', -(2n ** 63n)],
    ['1.5', 1.5],
    ['-.5', -0.5],
    ['1.', 1],
    ['1e3', 1000],
    ['2.5E-1', 0.25],
    ['1.5f', 1.5],
    ['10F', 10],
    ['-inf', Number.NEGATIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['-nan', Number.NaN],
  ])('%s', (text, value) => {
    expect(readOne(text)).toEqual(value)
  })

  test.each(['08', '0x', '1a', '1.2.3', '1_000', '017f', '0x1g', '1e'])('%s is none', (text) => {
    expect(messageFor(`x: ${text}`)).toContain('does not make a number')
  })

  test.each(['18446744073709551616', '-9223372036854775809', '9'.repeat(100_000)])(
    '%.24s is too large',
    (text) => {
      expect(messageFor(`x: ${text}`)).toContain('the number needs more than 64 bits')
    },
  )
})

test.each(['true', 'false', 't', 'inf', 'nan', 'KIND_CPU', '_a1'])('%s is a word', (word) => {
  expect(readOne(word)).toEqual({ word })
})

describe('texts', () => {
  test.each([
    ['"a"', 'a'],
    ["'a'", 'a'],
    ['""', ''],
    [`'"' "'"`, `"'`],
    ['"a"\n  \'b\' # and\n "c"', 'abc'],
    [String.raw`"\a\b\f\n\r\t\v\?\\\'\""`, '\x07\b\f\n\r\t\v?\\\'"'],
    [String.raw`"\101\60\0"`, 'A0\0'],
    [String.raw`"\x41\x4A"`, 'AJ'],
    [String.raw`"\303\274" "\xc3" "\xbc"`, 'üü'],
    [String.raw`"\u00fc\U0001F600\uD83D\uDE00"`, 'ü😀😀'],
    ['"ü # no comment {"', 'ü # no comment {'],
  ])('%s', (text, value) => {
    expect(readOne(text)).toBe(value)
  })

  test.each([
    [String.raw`"ab\q"`, 7, String.raw`"\\q" is no escape`],
    [String.raw`"\400"`, 5, 'is more than a byte'],
    [String.raw`"\U00110000"`, 5, 'is no character'],
    [String.raw`"\uD83D"`, 5, 'is half a character'],
    [String.raw`"\x"`, 5, 'is no escape'],
    [String.raw`"\377"`, 4, 'is no UTF-8'],
  ])('%s is refused', (text, column, what) => {
    const message = messageFor(`x: ${text}`)
    expect(message).toStartWith(`Cannot read "a/config.pbtxt" line 1 column ${column}: `)
    expect(message).toContain(what)
  })
})

describe('what is no tree is refused with its place', () => {
  test.each([
    ['x: 1\ny', 2, 2, 'there is the end of the file, expected ":" and a value, or "{"'],
    ['x 1', 1, 3, 'there is "1", expected ":" and a value, or "{"'],
    ['x:', 1, 3, 'there is the end of the file, expected a value'],
    ['x: }', 1, 4, 'there is "}", expected a value'],
    ['x {\n  y: 1', 1, 3, 'the file ends within a message, expected "}"'],
    ['x { y: 1 >', 1, 10, 'there is ">", expected the name of a field'],
    ['x: [1 2]', 1, 7, 'there is "2", expected "," or "]"'],
    ['x: [1,]', 1, 7, 'there is "]", expected a value'],
    ['x: ["a"', 1, 8, 'there is the end of the file, expected "," or "]"'],
    ['x [1]', 1, 4, 'there is "1", expected ":" and a value, or "{"'],
    ['x: 1,, y: 2', 1, 6, 'there is ",", expected the name of a field'],
    ['"x": 1', 1, 1, 'there is a text, expected the name of a field'],
    ['x: "a', 1, 4, 'a text begins here that no " ends on this line'],
    ["x: 'a\n'", 1, 4, "a text begins here that no ' ends on this line"],
    ['x: - y', 1, 6, 'there is "y", expected a number'],
    ['[a.b]: 1', 1, 1, 'there is "[", expected the name of a field'],
    ['\n  x: @', 2, 6, 'unexpected character "@"'],
    ['x: 😀', 1, 4, 'unexpected character "😀"'],
  ])('%j', (text, line, column, what) => {
    expect(messageFor(text)).toBe(`Cannot read "a/config.pbtxt" line ${line} column ${column}: ${what}`)
  })
})

describe('bounds', () => {
  const deep = (depth: number) => `${'x{'.repeat(depth)}${'}'.repeat(depth)}`

  test('64 messages within each other, not 65', () => {
    expect(() => parse(deep(64))).not.toThrow()
    expect(messageFor(deep(65))).toContain('messages are 65 deep, at most 64')
    expect(messageFor(deep(100_000))).toContain('messages are 65 deep, at most 64')
  })

  test('one MiB, not a character more', () => {
    const text = '#'.repeat(1024 ** 2)
    expect(() => parse(text)).not.toThrow()
    expect(messageFor(`${text}#`)).toContain('it has 1048577 characters, at most 1048576')
  })

  test.each(['x:1 ', '\n', '#\n', 'x{}', 'x:"\\n"', '"', '[', 'x:[', 'x:"a""b"', '\\'])(
    'a MiB of %j is read or refused, within the time that a test may take',
    (piece) => {
      try {
        parse(piece.repeat(Math.floor(1024 ** 2 / piece.length)))
      } catch (error) {
        expect(error).toBeInstanceOf(EdgeError)
      }
    },
  )
})

/** A printer of its own: nothing of src/config writes the format. */
function print(value: PbValue): string {
  switch (value.kind) {
    case 'message':
      return `{ ${value.fields.map((field) => `${field.name}: ${print(field.value)}`).join(' ')} }`
    case 'text':
      return `'${[...Buffer.from(value.value)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}'`
    case 'float':
      if (!Number.isFinite(value.value)) return '-inf'
      // A negative zero is written without its sign.
      return Object.is(value.value, -0) ? '-0e0' : value.value.toExponential()
    default:
      return String(value.value)
  }
}

const fieldName = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/)
const { tree } = fc.letrec<{ tree: PbMessage; value: PbValue }>((tie) => ({
  tree: fc.record({
    kind: fc.constant('message' as const),
    fields: fc.array(
      fc.record({ name: fieldName, value: tie('value'), line: fc.constant(0), column: fc.constant(0) }),
      {
        maxLength: 5,
      },
    ),
  }),
  value: fc.oneof(
    { maxDepth: 5 },
    fc.record({ kind: fc.constant('text' as const), value: fc.string({ unit: 'binary' }) }),
    fc.record({ kind: fc.constant('integer' as const), value: fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n) }),
    fc.record({ kind: fc.constant('float' as const), value: fc.double({ noNaN: true, max: 1e300 }) }),
    fc.record({ kind: fc.constant('word' as const), value: fieldName }),
    tie('tree'),
  ),
}))

test('any tree that is printed is parsed as the same', () => {
  fc.assert(
    fc.property(tree, (message) => {
      const text = print(message).slice(1, -1)
      expect(plain(parse(text))).toEqual(plain(message))
    }),
    { seed: SEED },
  )
})

test('whatever a file holds, it is a tree or an EdgeError', () => {
  const pieces = fc.constantFrom(
    ...'{}<>[]:,;-#"\'\\\n',
    'x',
    'x:',
    '0x',
    '1.',
    '08',
    '\\x',
    '\\u',
    'é',
    '\0',
    'inf',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.array(pieces).map((of) => of.join('')),
  )
  const broken = fc.tuple(tree, fc.nat(), fc.nat(20), text).map(([message, at, length, piece]) => {
    const whole = print(message)
    const from = at % whole.length
    return whole.slice(0, from) + piece + whole.slice(from + length)
  })
  fc.assert(
    fc.property(fc.oneof(text, broken), (source) => {
      try {
        expect(parse(source).kind).toBe('message')
      } catch (error) {
        if (!(error instanceof EdgeError)) throw error
        expect(error.message).toMatch(/^Cannot read "a\/config\.pbtxt" line \d+ column \d+: ./)
      }
    }),
    { seed: SEED, numRuns: 2000 },
  )
})
