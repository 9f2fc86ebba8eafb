import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeValues } from '../../src/client/datatypes.ts'
import { printJson } from '../../src/client/json-text.ts'
import { flattenNested } from '../../src/client/nested.ts'
import type { TensorSpec } from '../../src/client/tensor.ts'
import { createJsonTensor } from '../../src/client/value-tensor.ts'
import { parseExactJson } from '../../src/kit/exact-json.ts'
import { SEED } from '../kit/seed.ts'

describe('JSON text', () => {
  test('reads as everyone else reads it', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const toNumber = (_key: string, part: unknown) => (typeof part === 'bigint' ? Number(part) : part)
        expect(JSON.stringify(parseExactJson(text), toNumber)).toBe(JSON.stringify(JSON.parse(text)))
      }),
      { seed: SEED },
    )
  })

  test('may have bare NaN and infinities, which inside texts are left alone', () => {
    expect(parseExactJson('{"a": [NaN, -Infinity], "Infinity": "\\"NaN"}')).toEqual({
      a: [Number.NaN, Number.NEGATIVE_INFINITY],
      Infinity: '"NaN',
    })
  })

  test('keeps whole numbers that a number cannot hold as they are written', () => {
    expect(
      parseExactJson(
        '[9007199254740993, 9223372036854775807, 1, 0.1234567890123456789, 1e300, 1000000000000000000001]',
      ),
    ).toEqual([
      9_007_199_254_740_993n,
      9_223_372_036_854_775_807n,
      1,
      0.12345678901234568,
      1e300,
      10n ** 21n + 1n,
    ])
  })

  test('writes what it has no numbers for as texts', () => {
    expect(printJson([1.5, Number.NaN, Number.NEGATIVE_INFINITY, 3n, 2n ** 60n])).toBe(
      '[1.5,"NaN","-Infinity",3,"1152921504606846976"]',
    )
  })

  test('of megabytes with a NaN at the end is read', () => {
    expect(parseExactJson(`["${'x'.repeat(4_000_000)}", NaN]`)).toHaveLength(2)
  })
})

describe('nested arrays', () => {
  test('give their shape and their values row by row', () => {
    expect(flattenNested([[[1, 2, 3]], [[4, 5, 6]]])).toEqual({
      shape: [2, 1, 3],
      values: [1, 2, 3, 4, 5, 6],
    })
  })

  test('a lone value has no axes', () => {
    expect(flattenNested(16_000)).toEqual({ shape: [], values: [16_000] })
  })

  test.each([
    ['rows of different lengths', [[1, 2], [3]], 'a row has 2 elements, beside it is one with 1'],
    ['a value beside a row', [[1], 2], 'a row has 1 elements, beside it is a lone value'],
    ['a row beside a value', [1, [2]], 'it holds an array among values'],
    ['null', [null], 'it holds null'],
    ['an object', [{}], 'it holds an object'],
    ['more axes than any model has', JSON.parse('['.repeat(40) + ']'.repeat(40)), 'nested more than 32 deep'],
  ])('with %s are refused', (_name, nested, reason) => {
    expect(() => flattenNested(nested)).toThrow(reason)
  })
})

describe('an input given as JSON', () => {
  const input: TensorSpec = { name: 'x', datatype: 'INT64', shape: [-1, 2, -1] }

  test.each([
    ['nested as deep as the model’s shape keeps its own', [[[1], [2]]], [1, 2, 1]],
    ['flat takes the model’s', [1, 2, 3, 4], [1, 2, 2]],
    ['flat that cannot fit is sent as it is', [1, 2, 3], [3]],
    ['nested otherwise is sent as it is', [[1, 2]], [1, 2]],
  ])('%s', (_name, json, shape) => {
    expect(createJsonTensor(input, json).shape).toEqual(shape)
  })

  test('may be one number for an input without axes', () => {
    const tensor = createJsonTensor({ ...input, shape: [] }, 9_007_199_254_740_993n)
    expect(tensor.shape).toEqual([])
    expect(Array.from(decodeValues('INT64', tensor.bytes))).toEqual([9_007_199_254_740_993n])
  })

  test('that its datatype does not hold is refused with the input’s name', () => {
    expect(() => createJsonTensor(input, [0.5])).toThrow('Cannot fill input "x" (INT64): Cannot write 0.5')
  })
})
