import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EdgeError } from '../../src/kit/errors.ts'
import { parseExactJson } from '../../src/kit/exact-json.ts'
import { SEED } from './seed.ts'

describe('what JSON.parse does not do', () => {
  test('NaN and both infinities are read', () => {
    expect(parseExactJson('{"data":[NaN, Infinity,-Infinity , 1]}') as unknown).toEqual({
      data: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1],
    })
  })

  test('an integer beyond 2^53 keeps all its digits', () => {
    const text = '{"datatype":"INT64","data":[9007199254740993,-9223372036854775808,7]}'
    expect(parseExactJson(text)).toEqual({
      datatype: 'INT64',
      data: [9007199254740993n, -9223372036854775808n, 7],
    })
  })

  test('a string of megabytes beside a NaN is read, with its escapes', () => {
    const long = `${'x\\"'.repeat(1_500_000)}`
    expect(parseExactJson(`[NaN, ${JSON.stringify(long)}]`)).toEqual([Number.NaN, long])
  })

  test('words inside strings stay strings', () => {
    expect(parseExactJson('["NaN", NaN, "-Infinity \\u00e9\\n"]')).toEqual([
      'NaN',
      Number.NaN,
      '-Infinity é\n',
    ])
  })
})

describe('what is refused', () => {
  test.each([
    ['', 'at character 0'],
    ['{"a":1', 'expected "," or "}"'],
    ['[1,]', 'expected a value'],
    ['{"a" 1}', 'expected ":"'],
    ['[1] x', 'expected nothing more'],
    ['[01]', 'expected "," or "]"'],
    ['{a:1}', 'expected a string'],
    ['["\u0001"]', 'expected a string'],
    ['["a]', 'expected the end of a string'],
    ['[+1]', 'expected a value'],
    ['[nan]', 'expected a value'],
  ])('%p: %s', (text, what) => {
    expect(() => parseExactJson(text)).toThrow(what)
  })

  test('a depth of 100 is read, of 101 refused, of a million refused without a crash', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}NaN${']'.repeat(depth)}`
    expect(() => parseExactJson(nested(100))).not.toThrow()
    expect(() => parseExactJson(nested(101))).toThrow('nesting depth exceeds')
    expect(() => parseExactJson('['.repeat(1_000_000))).toThrow(EdgeError)
  })
})

test('whatever JSON.stringify writes is read as JSON.parse reads it, by the exact reader too', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value)
      // The first element is what makes the fast path give up.
      const read = parseExactJson(`[NaN,${text}]`) as unknown[]
      // Integers beyond 2^53 come out exact where JSON.parse rounds.
      const rounded = JSON.stringify(read[1], (_, inner) =>
        typeof inner === 'bigint' ? Number(inner) : inner,
      )
      expect(rounded).toBe(JSON.stringify(JSON.parse(text)))
    }),
    { seed: SEED, numRuns: 300 },
  )
})

test('any text is either read or refused with an EdgeError', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'NaN',
    '-',
    'Infinity',
    '1',
    'e',
    '.',
    ' ',
    'x',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      try {
        parseExactJson(parts.join(''))
      } catch (error) {
        expect(error).toBeInstanceOf(EdgeError)
      }
    }),
    { seed: SEED, numRuns: 2000 },
  )
})
