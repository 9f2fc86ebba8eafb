import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Component, findComponents, type ProbabilityMap } from '../../src/client/components.ts'
import { SEED } from '../kit/seed.ts'

/** One digit a point, in tenths. */
function drawMap(...rows: string[]): ProbabilityMap {
  const values = rows.flatMap((row) => [...row].map((digit) => Number(digit) / 10))
  return { width: rows[0]?.length ?? 0, height: rows.length, values }
}

test('points that touch are one component, diagonally too', () => {
  const found = [...findComponents(drawMap('90000', '09000', '00900', '00000', '00009'), 0.5)]
  expect(found).toEqual([
    { left: 0, top: 0, right: 3, bottom: 3, area: 3, mean: expect.closeTo(0.9) },
    { left: 4, top: 4, right: 5, bottom: 5, area: 1, mean: expect.closeTo(0.9) },
  ])
})

test('a row’s end does not touch the next row’s beginning', () => {
  expect([...findComponents(drawMap('0009', '0000', '9000'), 0.5)]).toHaveLength(2)
  expect([...findComponents(drawMap('0009', '9000'), 0.5)]).toHaveLength(2)
})

test('a component may run around a hole and into every corner', () => {
  expect([...findComponents(drawMap('999', '909', '999'), 0.5)]).toEqual([
    { left: 0, top: 0, right: 3, bottom: 3, area: 8, mean: expect.closeTo(0.9) },
  ])
})

test('the threshold itself is not above the threshold', () => {
  expect([...findComponents(drawMap('555'), 0.5)]).toEqual([])
  expect([...findComponents(drawMap('565'), 0.5)]).toHaveLength(1)
})

test('the mean is that of the points, not of the box around them', () => {
  const [component] = findComponents(drawMap('80', '06'), 0.5)
  expect(component?.mean).toBeCloseTo(0.7)
})

const maps = fc.integer({ min: 1, max: 12 }).chain((width) =>
  fc
    .array(fc.array(fc.constantFrom(0, 1), { minLength: width, maxLength: width }), {
      minLength: 1,
      maxLength: 12,
    })
    .map((rows): ProbabilityMap => ({ width, height: rows.length, values: rows.flat() })),
)

test('every point above the threshold lies in exactly one component', () => {
  fc.assert(
    fc.property(maps, (map) => {
      const components: Component[] = [...findComponents(map, 0.5)]
      const points = Array.from(map.values).filter((value) => value > 0.5).length
      expect(components.reduce((sum, { area }) => sum + area, 0)).toBe(points)
    }),
    { seed: SEED },
  )
})
