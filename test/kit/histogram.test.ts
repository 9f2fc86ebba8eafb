import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Histogram } from '../../src/kit/histogram.ts'
import { SEED } from './seed.ts'

test('a value counts for its own bound and all above it', () => {
  const histogram = new Histogram([1, 10])
  for (const value of [0, 1, 1.5, 10, 11]) histogram.add(value)
  expect(histogram.snapshot).toEqual({ bounds: [1, 10], cumulative: [2, 4, 5], sum: 23.5, count: 5 })
})

test('counts are what counting by hand gives', () => {
  const bounds = [0.5, 2, 8, 32]
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true })), (values) => {
      const histogram = new Histogram(bounds)
      for (const value of values) histogram.add(value)
      const { cumulative, count } = histogram.snapshot
      expect(cumulative).toEqual(
        [...bounds, Number.POSITIVE_INFINITY].map((le) => values.filter((value) => value <= le).length),
      )
      expect(count).toBe(values.length)
    }),
    { seed: SEED, numRuns: 200 },
  )
})
