import { describe, expect, test } from 'bun:test'
import type { OutputHint } from '../../src/client/hints.ts'
import type { Plain } from '../../src/client/plain.ts'
import { createReader, type View } from '../../src/client/reader.ts'
import { createTensor } from '../../src/client/tensor.ts'

function createOutput(
  shape: number[],
  values: ArrayLike<Plain>,
  datatype: 'FP32' | 'INT64' | 'BYTES' = 'FP32',
) {
  return createTensor({ name: 'y', datatype, shape }, shape, values)
}

function readOutputs(
  hint: OutputHint | undefined,
  view: View,
  ...outputs: ReturnType<typeof createOutput>[]
) {
  const reader = createReader(hint, view)
  for (const output of outputs) reader.add(output)
  return reader
}

describe('classes', () => {
  const hint: OutputHint = { as: 'classes', labels: ['0', '180', 'ninety'] }

  test('are listed by their score, the highest first', () => {
    const reader = readOutputs(hint, {}, createOutput([1, 3], [0.0012, 0.9987, 0.0001]))
    expect(reader.lines()).toEqual(['180       0.9987', '0         0.0012', 'ninety    0.0001'])
  })

  test('of several windows have their mean score', () => {
    const outputs = [createOutput([1, 3], [1, 0, 0]), createOutput([1, 3], [0.5, 0.25, 0])]
    expect(readOutputs(hint, {}, ...outputs).json()).toEqual({
      as: 'classes',
      windows: 2,
      scores: [
        { label: '0', score: 0.75 },
        { label: '180', score: 0.125 },
        { label: 'ninety', score: 0 },
      ],
    })
  })

  test('as many as the labels, or the hint is wrong', () => {
    expect(() => readOutputs(hint, {}, createOutput([1, 2], [0, 1]))).toThrow(
      'it has 2 scores, its hint 3 labels',
    )
  })

  test('are numbers, not texts', () => {
    const output = createOutput([3], ['a', 'b', 'c'], 'BYTES')
    expect(() => readOutputs(hint, {}, output)).toThrow(
      'Cannot read output "y" as numbers: its datatype is BYTES',
    )
  })

  test('past twenty are only counted', () => {
    const labels = Array.from({ length: 21 }, (_, index) => `label ${index}`)
    const lines = readOutputs({ as: 'classes', labels }, {}, createOutput([21], new Float32Array(21))).lines()
    expect(lines).toHaveLength(21)
    expect(lines[20]).toBe('… 1 more; all of them with --json')
  })
})

describe('segments', () => {
  const hint: OutputHint = { as: 'segments', label: 'speech', threshold: 0.5 }
  const timeline = { windowSeconds: 0.5, durationSeconds: 2.7 }
  const read = (...probabilities: number[]) =>
    readOutputs(
      hint,
      { timeline },
      ...probabilities.map((probability) => createOutput([1, 1], [probability])),
    )

  test('are the windows above the threshold, joined where they follow each other', () => {
    expect(read(0.1, 0.8, 0.9, 0.5, 0.75, 0.2).lines()).toEqual([
      'speech 0.50 s to 1.50 s (mean 0.85)',
      'speech 2.00 s to 2.50 s (mean 0.75)',
    ])
  })

  test('end with the recording, not with its last window', () => {
    expect(read(1, 1, 1, 1, 1, 1).json()).toEqual({
      as: 'segments',
      label: 'speech',
      segments: [{ start_seconds: 0, end_seconds: 2.7, mean: 1 }],
    })
  })

  test('may be none', () => {
    expect(read(0.5, 0, Number.NaN).lines()).toEqual(['no speech'])
  })

  test('need one value a window', () => {
    const output = createOutput([1, 2], [0, 1])
    expect(() => readOutputs(hint, { timeline }, output)).toThrow('it has not one value a window but [1, 2]')
  })
})

describe('boxes', () => {
  const hint: OutputHint = { as: 'boxes', label: 'text', threshold: 0.3 }
  /** A photo of 400 x 200, reduced to a quarter, in the upper half of a square; the map is half as fine as that. */
  const placement = {
    original: { width: 400, height: 200 },
    content: { width: 100, height: 50 },
    canvas: { width: 100, height: 100 },
  }

  function drawOutput(
    ...rectangles: { x: number; y: number; width: number; height: number; value: number }[]
  ) {
    const values = new Float32Array(50 * 50)
    for (const { x, y, width, height, value } of rectangles) {
      for (let row = y; row < y + height; row += 1) values.fill(value, row * 50 + x, row * 50 + x + width)
    }
    return createOutput([1, 1, 50, 50], values)
  }

  test('are in the pixels of the image that was given, the largest first', () => {
    const output = drawOutput(
      { x: 1, y: 1, width: 3, height: 2, value: 0.5 },
      { x: 10, y: 20, width: 20, height: 2, value: 0.9 },
    )
    expect(readOutputs(hint, { placement }, output).lines()).toEqual([
      'text x 80 y 160 width 160 height 16 (0.90)',
      'text x 8 y 8 width 24 height 16 (0.50)',
    ])
  })

  test('are cut off where the image ends and the filling begins', () => {
    const output = drawOutput({ x: 0, y: 24, width: 2, height: 10, value: 1 })
    expect(readOutputs(hint, { placement }, output).lines()).toEqual([
      'text x 0 y 192 width 16 height 8 (1.00)',
    ])
  })

  test('in the filling, or of fewer than four points, are none', () => {
    const output = drawOutput(
      { x: 0, y: 30, width: 5, height: 5, value: 1 },
      { x: 0, y: 0, width: 3, height: 1, value: 1 },
    )
    expect(readOutputs(hint, { placement }, output).lines()).toEqual(['no text'])
  })

  test('past a hundred are only counted', () => {
    const dots = Array.from({ length: 101 }, (_, index) => ({
      x: (index % 12) * 4,
      y: Math.floor(index / 12) * 3,
    }))
    const wide = { ...placement, content: placement.canvas }
    const output = drawOutput(...dots.map((dot) => ({ ...dot, width: 2, height: 2, value: 1 })))
    const reader = readOutputs(hint, { placement: wide }, output)
    expect(reader.lines().at(-1)).toBe('… 1 smaller ones')
    expect(reader.json()).toMatchObject({ boxes_total: 101, boxes: { length: 100 } })
  })

  test('need one map', () => {
    const output = createOutput([2, 1, 1], [0, 1])
    expect(() => readOutputs(hint, { placement }, output)).toThrow('it is not one map but [2, 1, 1]')
  })
})

describe('values', () => {
  test('are shown where no hint says more, the first ten', () => {
    const output = createOutput(
      [1, 12],
      Array.from({ length: 12 }, (_, index) => index / 8),
    )
    expect(readOutputs(undefined, {}, output).lines()).toEqual([
      'y FP32 [1, 12]: 0, 0.125000, 0.250000, 0.375000, 0.500000, 0.625000, 0.750000, 0.875000, 1, 1.12500, … (12 values)',
    ])
  })

  test('may be texts and numbers past 2^53', () => {
    expect(readOutputs(undefined, {}, createOutput([1], ['a "b"'], 'BYTES')).lines()).toEqual([
      'y BYTES [1]: "a \\"b\\""',
    ])
    expect(readOutputs(undefined, {}, createOutput([], [2n ** 60n], 'INT64')).lines()).toEqual([
      'y INT64 []: 1152921504606846976',
    ])
  })

  test('are shown too where a hint needs a recording or an image that the run did not have', () => {
    const hint: OutputHint = { as: 'segments', label: 'speech', threshold: 0.5 }
    expect(readOutputs(hint, {}, createOutput([1], [0.5])).json()).toEqual({
      as: 'values',
      datatype: 'FP32',
      shape: [1],
      values_total: 1,
      values: [0.5],
    })
  })
})
