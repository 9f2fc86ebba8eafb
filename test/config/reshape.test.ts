import { expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { reshapeProblem } from '../../src/config/reshape.ts'

test.each([
  [
    [3, 224, 224],
    [1, 3, 224, 224],
  ],
  [[1000], [1, 1000, 1, 1]],
  [[1], []],
  [[], [1, 1]],
  [[-1], [-1, 1]],
  [
    [2, -1, 6],
    [1, 2, -1, 3, 2],
  ],
])('dims %p may be %p in the model', (dims, shape) => {
  expect(reshapeProblem(dims, shape)).toBeUndefined()
})

test.each([
  [
    [3, 224],
    [3, 225],
  ],
  [[-1], [1]],
  [[-1, -1], [-1]],
  [
    [2, -1, 6],
    [6, -1, 2],
  ],
])('dims %p may not be %p', (dims, shape) => {
  expect(reshapeProblem(dims, shape)).toContain(
    `is [${shape.join(',')}] for dims [${dims.join(',')}], expected`,
  )
})

test('in TOML too, with the place of what is wrong', () => {
  const parse = (reshape: string) =>
    parseModelSettings({
      path: 'config.toml',
      text: `inputs = [{ name = "a", datatype = "FP32", dims = [4], reshape = ${reshape} }]`,
    })
  expect(parse('[2, 2]').inputs[0]?.reshape).toEqual([2, 2])
  expect(() => parse('[2, 3]')).toThrow(/is \[2,3\] for dims \[4\].*inputs\[0\]\.reshape/s)
})
