import { describe, expect, test } from 'bun:test'
import { compareAnswer, type Elements, parseGolden } from '../../src/ota/golden.ts'

const SAMPLE = '[{"name":"x","datatype":"FP32","shape":[2],"data":[1,NaN]}]'

describe('read', () => {
  test('a sample with data and one with bytes', () => {
    const b64 = Buffer.from(new Float32Array([1, 2]).buffer).toString('base64')
    const inputs = `[${SAMPLE},[{"name":"x","datatype":"FP32","shape":[2],"b64":"${b64}"}]]`
    const samples = parseGolden({ inputs, outputs: `[${SAMPLE},${SAMPLE}]` })
    expect(samples.map((sample) => sample.inputs)).toEqual([
      [{ name: 'x', datatype: 'FP32', shape: [2], data: [1, Number.NaN], bytes: undefined }],
      [
        {
          name: 'x',
          datatype: 'FP32',
          shape: [2],
          data: undefined,
          bytes: new Uint8Array([0, 0, 128, 63, 0, 0, 0, 64]),
        },
      ],
    ])
  })

  test.each([
    ['text that is no JSON', '[', 'Cannot read the golden samples in "inputs.json": Cannot parse JSON'],
    ['no array', '{}', 'expected an array of 1 to 64 samples'],
    ['no sample', '[]', 'expected an array of 1 to 64 samples'],
    ['65 samples', JSON.stringify(new Array(65).fill([])), 'expected an array of 1 to 64 samples'],
    ['a sample that is no array', '[1]', 'sample 0 is not an array of 1 to 256 tensors'],
    ['a tensor that is no object', '[[1]]', 'sample 0: a tensor is not an object'],
    ['no name', '[[{"datatype":"FP32","shape":[1],"data":[1]}]]', 'a tensor has no "name"'],
    ['no datatype', '[[{"name":"x","shape":[1],"data":[1]}]]', 'tensor "x" has no "datatype" like FP32'],
    [
      'a shape below 0',
      '[[{"name":"x","datatype":"FP32","shape":[-1],"data":[1]}]]',
      'whole numbers from 0 on',
    ],
    [
      'neither data nor bytes',
      '[[{"name":"x","datatype":"FP32","shape":[1]}]]',
      'has neither of "data" and "b64"',
    ],
    [
      'both',
      '[[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"b64":""}]]',
      'has both of "data" and "b64"',
    ],
    ['bytes in no base64', '[[{"name":"x","datatype":"FP32","shape":[1],"b64":"a!c="}]]', 'is not base64'],
  ])('%s is refused in words', (_, inputs, words) => {
    expect(() => parseGolden({ inputs, outputs: `[${SAMPLE}]` })).toThrow(words)
  })

  test('as many answers as questions', () => {
    expect(() => parseGolden({ inputs: `[${SAMPLE},${SAMPLE}]`, outputs: `[${SAMPLE}]` })).toThrow(
      '"outputs.json": it holds 1 samples, expected 2',
    )
  })
})

describe('compared', () => {
  const of = (values: Elements['values'], datatype = 'FP32', shape = [values.length]): Elements[] => [
    { name: 'y', datatype, shape, values },
  ]
  const TOLERANCE = { absolute: 0.5, relative: 0.1 }
  const compare = (expected: Elements[], answered: Elements[]) => compareAnswer(expected, answered, TOLERANCE)

  test.each([
    ['the same', of([1, 2]), of([1, 2])],
    ['at the tolerance', of([10]), of([11.5])],
    ['NaN where NaN is expected', of([Number.NaN]), of([Number.NaN])],
    ['infinity of the same sign', of([Number.NEGATIVE_INFINITY]), of([Number.NEGATIVE_INFINITY])],
    ['texts', of(['a'], 'BYTES'), of(['a'], 'BYTES')],
    ['64-bit integers', of([2n ** 60n], 'INT64'), of([2n ** 60n], 'INT64')],
    [
      'an output that nobody asked for',
      of([1]),
      [...of([1]), { name: 'z', datatype: 'FP32', shape: [], values: [Number.NaN] }],
    ],
  ])('%s is right', (_, expected, answered) => {
    expect(compare(expected, answered)).toBeUndefined()
  })

  test.each([
    [
      'past the tolerance',
      of([10]),
      of([11.51]),
      'golden_failed',
      'output "y" holds 11.51 at 0, expected 10 within 1.5',
    ],
    ['NaN', of([1, 2]), of([1, Number.NaN]), 'not_finite', 'output "y" holds NaN at 1, expected 2'],
    ['infinity', of([1]), of([Number.POSITIVE_INFINITY]), 'not_finite', 'holds Infinity at 0'],
    [
      'a number where NaN is expected',
      of([Number.NaN]),
      of([1]),
      'golden_failed',
      'holds 1 at 0, expected NaN',
    ],
    ['a class that is off by one', of([1000], 'INT64'), of([1001], 'INT64'), 'golden_failed', 'within 0.5'],
    ['another text', of(['a'], 'BYTES'), of(['b'], 'BYTES'), 'golden_failed', 'holds b at 0, expected a'],
    ['another shape', of([1]), of([1], 'FP32', [1, 1]), 'golden_failed', 'is FP32 [1,1], expected FP32 [1]'],
    ['another datatype', of([1]), of([1], 'FP16'), 'golden_failed', 'is FP16 [1], expected FP32 [1]'],
    ['no such output', of([1]), [], 'golden_failed', 'there is no output "y"'],
  ] as const)('%s is not', (_, expected, answered, code, words) => {
    expect(compare([...expected], [...answered])).toEqual({ code, reason: expect.stringContaining(words) })
  })
})
