/** What a model's numbers are like, without keeping them: right for any numbers, bounded for any model. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Sketch } from '../../src/capture/sketch.ts'
import { Sketches } from '../../src/capture/sketches.ts'
import { eachValue } from '../../src/capture/tensor-values.ts'
import { encodeBfloat16 } from '../../src/kit/bfloat16.ts'
import type { Tensor } from '../../src/runtime/backend.ts'
import type { Datatype } from '../../src/runtime/datatypes.ts'
import { SEED } from '../kit/seed.ts'

const tensor = (
  name: string,
  datatype: Datatype,
  values: { readonly buffer: ArrayBufferLike; readonly length: number },
): Tensor => ({
  name,
  datatype,
  shape: [values.length],
  bytes: new Uint8Array(values.buffer as ArrayBuffer),
})

const floats = (name: string, values: readonly number[]) => tensor(name, 'FP32', Float32Array.from(values))

function valuesOf(of: Tensor): number[] {
  const values: number[] = []
  eachValue(of, (value) => values.push(value))
  return values
}

describe('one sketch', () => {
  test('of any numbers says what they are, as computed from all of them', () => {
    const number = fc.double({ min: -1e6, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(fc.array(number, { minLength: 1, maxLength: 300 }), (values) => {
        const sketch = new Sketch()
        for (const value of values) sketch.add(value)
        const { min, max, mean = 0, variance = 0, values: histogram, sum, squares } = sketch.snapshot
        const trueMean = values.reduce((a, b) => a + b, 0) / values.length
        const trueVariance = values.reduce((a, b) => a + (b - trueMean) ** 2, 0) / values.length
        expect([min, max]).toEqual([Math.min(...values), Math.max(...values)])
        expect(Math.abs(mean - trueMean)).toBeLessThan(1e-6)
        expect(Math.abs(variance - trueVariance)).toBeLessThan(1e-9 * (1 + trueVariance) + 1e-3)
        expect(histogram.count).toBe(values.length)
        expect(sum).toBeCloseTo(trueMean * values.length, 3)
        expect(squares).toBeGreaterThanOrEqual(0)
        for (const [index, bound] of histogram.bounds.entries()) {
          expect(histogram.cumulative[index]).toBe(values.filter((value) => value <= bound).length)
        }
      }),
      { seed: SEED },
    )
  })

  test('counts NaN and infinity apart, and has no mean of nothing', () => {
    const sketch = new Sketch()
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) sketch.add(value)
    expect(sketch.snapshot).toMatchObject({ nan: 1, infinite: 2, values: { count: 0 } })
    expect([sketch.snapshot.mean, sketch.snapshot.variance, sketch.snapshot.min]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('the numbers of a tensor', () => {
  test.each([
    ['FP64', Float64Array.of(-1.5, 2)],
    ['FP32', Float32Array.of(-1.5, 2)],
    ['FP16', Float16Array.of(-1.5, 2)],
    ['BF16', encodeBfloat16(Float32Array.of(-1.5, 2))],
    ['INT64', BigInt64Array.of(-3n, 4n)],
    ['UINT64', BigUint64Array.of(3n, 4n)],
    ['INT32', Int32Array.of(-3, 4)],
    ['UINT32', Uint32Array.of(3, 2 ** 31)],
    ['INT16', Int16Array.of(-3, 4)],
    ['UINT16', Uint16Array.of(3, 65_535)],
    ['INT8', Int8Array.of(-3, 4)],
    ['UINT8', Uint8Array.of(3, 255)],
    ['BOOL', Uint8Array.of(0, 1)],
  ] as const)('%s', (datatype, values) => {
    const expected = datatype === 'BF16' ? [-1.5, 2] : Array.from(values as Iterable<number | bigint>, Number)
    expect(valuesOf(tensor('IN', datatype, values))).toEqual(expected)
    // Also at an odd address.
    const shifted = new Uint8Array(values.byteLength + 1)
    shifted.set(new Uint8Array(values.buffer), 1)
    expect(valuesOf({ name: 'IN', datatype, shape: [2], bytes: shifted.subarray(1) })).toEqual(expected)
  })

  test('of a large one are 1024 at most, from all over it', () => {
    const values = valuesOf(
      floats(
        'IN',
        Array.from({ length: 1_000_000 }, (_, index) => index),
      ),
    )
    expect(values.length).toBeLessThanOrEqual(1024)
    expect(values.length).toBeGreaterThan(900)
    expect(values.at(-1)).toBeGreaterThan(990_000)
  })

  test('of one without numbers, or of none, are none', () => {
    expect(valuesOf(tensor('IN', 'BYTES', Uint8Array.of(1, 0, 0, 0, 65)))).toEqual([])
    expect(valuesOf(floats('IN', []))).toEqual([])
  })
})

describe('the sketches of a device', () => {
  const stage = (percent: number, chance = 0.5) =>
    new Sketches({
      percentOf: () => percent,
      random: { fraction: () => chance, bytes: () => new Uint8Array(0) },
    })

  test('look at the share that was asked for, and at none unasked', () => {
    expect(stage(0).choose('echo')).toBe(false)
    expect([stage(10, 0.0999).choose('echo'), stage(10, 0.1).choose('echo')]).toEqual([true, false])
  })

  test('keep inputs and outputs apart, and versions', () => {
    const sketches = stage(100)
    sketches.add(
      { model: 'echo', version: '1' },
      { inputs: [floats('X', [1, 3])], outputs: [floats('X', [10])] },
    )
    sketches.add({ model: 'echo', version: '2' }, { inputs: [floats('X', [5])], outputs: [] })
    expect(
      sketches.snapshot.map(({ version, direction, tensor: name, mean }) => [version, direction, name, mean]),
    ).toEqual([
      ['1', 'input', 'X', 2],
      ['1', 'output', 'X', 10],
      ['2', 'input', 'X', 5],
    ])
    expect(sketches.requests.map(({ requests }) => requests)).toEqual([1, 1])
  })

  test('are 8 inputs and 8 outputs of 32 versions at most', () => {
    const sketches = stage(100)
    const many = Array.from({ length: 20 }, (_, index) => floats(`T${index}`, [1]))
    for (let version = 0; version < 40; version += 1) {
      sketches.add({ model: 'echo', version: String(version) }, { inputs: many, outputs: many })
    }
    expect(sketches.snapshot.length).toBe(32 * 16)
    expect(sketches.requests.map(({ version }) => version)).toEqual(
      Array.from({ length: 32 }, (_, index) => String(index + 8)),
    )
  })
})
