import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Datatype, decodeValues, encodeValues } from '../../src/client/datatypes.ts'
import type { Plain } from '../../src/client/plain.ts'
import { SEED } from '../kit/seed.ts'

/** The bit patterns are those of IEEE 754-2019 and of the upper half of an FP32. */
const HALVES: Record<'FP16' | 'BF16', [string, number, number][]> = {
  FP16: [
    ['one', 1, 0x3c00],
    ['minus two', -2, 0xc000],
    ['minus zero', -0, 0x8000],
    ['the largest', 65_504, 0x7bff],
    ['infinity', Number.POSITIVE_INFINITY, 0x7c00],
    ['minus infinity', Number.NEGATIVE_INFINITY, 0xfc00],
    ['the smallest normal', 2 ** -14, 0x0400],
    ['the largest subnormal', 2 ** -14 - 2 ** -24, 0x03ff],
    ['the smallest subnormal', 2 ** -24, 0x0001],
  ],
  BF16: [
    ['one', 1, 0x3f80],
    ['minus two', -2, 0xc000],
    ['minus zero', -0, 0x8000],
    ['the largest', (2 - 2 ** -7) * 2 ** 127, 0x7f7f],
    ['infinity', Number.POSITIVE_INFINITY, 0x7f80],
    ['minus infinity', Number.NEGATIVE_INFINITY, 0xff80],
    ['the smallest normal', 2 ** -126, 0x0080],
    ['the largest subnormal', 2 ** -126 - 2 ** -133, 0x007f],
    ['the smallest subnormal', 2 ** -133, 0x0001],
  ],
}

function encodeHalf(datatype: 'FP16' | 'BF16', value: number): number | undefined {
  return new Uint16Array(encodeValues(datatype, [value]).buffer)[0]
}

function decodeHalf(datatype: 'FP16' | 'BF16', bits: number): Plain | undefined {
  return decodeValues(datatype, new Uint8Array(Uint16Array.of(bits).buffer))[0]
}

describe.each(['FP16', 'BF16'] as const)('%s', (datatype) => {
  test.each(HALVES[datatype])('%s is the known bit pattern, both ways', (_name, value, bits) => {
    expect(encodeHalf(datatype, value)).toBe(bits)
    expect(decodeHalf(datatype, bits)).toBe(value)
  })

  test('NaN stays NaN', () => {
    expect(decodeHalf(datatype, encodeHalf(datatype, Number.NaN) ?? 0)).toBeNaN()
  })

  test('every bit pattern that is a number comes back as it was', () => {
    const patterns = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits)
    const values = Array.from(decodeValues(datatype, new Uint8Array(patterns.buffer)))
    const back = new Uint16Array(encodeValues(datatype, values).buffer)
    expect(patterns.filter((bits, index) => back[index] !== bits && !Number.isNaN(values[index]))).toEqual(
      new Uint16Array(),
    )
  })
})

test('FP16 rounds what is too large to infinity and what is too small to zero', () => {
  expect([65_519.99, 65_520, 2 ** -26].map((value) => encodeHalf('FP16', value))).toEqual([0x7bff, 0x7c00, 0])
})

test('BF16 rounds to the nearest, ties to even, and past the largest to infinity', () => {
  const ulp = 2 ** -7
  const values = [1 + ulp / 2, 1 + 1.5 * ulp, 1 + 0.51 * ulp, (2 - 2 ** -8) * 2 ** 127]
  expect(values.map((value) => encodeHalf('BF16', value))).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80])
})

test('a NaN whose payload lies in the lower half of an FP32 is not cut to infinity', () => {
  const [value] = new Float32Array(Uint32Array.of(0x7f80_0001).buffer)
  expect(decodeHalf('BF16', encodeHalf('BF16', value ?? 0) ?? 0)).toBeNaN()
})

const INTEGER_BITS = {
  INT8: 8,
  INT16: 16,
  INT32: 32,
  INT64: 64,
  UINT8: 8,
  UINT16: 16,
  UINT32: 32,
  UINT64: 64,
}

describe.each(Object.entries(INTEGER_BITS))('%s', (name, bits) => {
  const datatype = Datatype.parse(name)
  const isSigned = name.startsWith('I')
  const lowest = isSigned ? -(2n ** BigInt(bits - 1)) : 0n
  const highest = lowest + 2n ** BigInt(bits) - 1n

  test('holds its lowest and its highest number', () => {
    const back = Array.from(decodeValues(datatype, encodeValues(datatype, [lowest, highest])), String)
    expect(back).toEqual([String(lowest), String(highest)])
  })

  test.each([lowest - 1n, highest + 1n, 0.5, Number.NaN, '1'])(
    'refuses %p and says what it takes',
    (value) => {
      expect(() => encodeValues(datatype, [value])).toThrow(
        `wanted a whole number from ${lowest} to ${highest}`,
      )
    },
  )
})

test('a float takes the words that stand for what JSON has no numbers for, and no other word', () => {
  const values = decodeValues('FP32', encodeValues('FP32', ['NaN', '-Infinity', 'Infinity']))
  expect(Array.from(values)).toEqual([Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
  expect(() => encodeValues('FP32', ['nan'])).toThrow('Cannot write "nan" into the tensor: wanted a number')
})

test('BOOL takes true, false, 0 and 1, a byte each', () => {
  expect([...encodeValues('BOOL', [true, false, 1, 0])]).toEqual([1, 0, 1, 0])
  expect(() => encodeValues('BOOL', [2])).toThrow('wanted true, false, 0 or 1')
})

test('BYTES that end within an element are refused', () => {
  const bytes = encodeValues('BYTES', ['ab', 'c'])
  expect([...bytes]).toEqual([2, 0, 0, 0, 97, 98, 1, 0, 0, 0, 99])
  expect(() => decodeValues('BYTES', bytes.subarray(0, -1))).toThrow('element 1 ends past')
  expect(() => decodeValues('BYTES', bytes.subarray(0, 8))).toThrow('element 1 ends past')
})

test('BYTES take texts only', () => {
  expect(() => encodeValues('BYTES', [1])).toThrow('Cannot write 1 into the tensor: wanted a text in quotes')
})

test('any texts come back', () => {
  const texts = fc.array(fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(texts, (given) => {
      expect(Array.from(decodeValues('BYTES', encodeValues('BYTES', given)))).toEqual(given)
    }),
    { seed: SEED },
  )
})

test('elements are read from bytes that begin anywhere', () => {
  const bytes = Buffer.concat([Uint8Array.of(9), encodeValues('FP64', [1.5])])
  expect(Array.from(decodeValues('FP64', bytes.subarray(1)))).toEqual([1.5])
})
