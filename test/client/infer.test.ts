import { afterAll, afterEach, describe, expect, test } from 'bun:test'
import type { InferOptions } from '../../src/app/infer.ts'
import { InferStage } from './infer-stage.ts'
import { buildPng } from './png-file.ts'

const stage = new InferStage()
afterEach(() => stage.server.forget())
afterAll(() => stage.clear())

async function inferJson(options: Partial<InferOptions>): Promise<unknown> {
  const [text = ''] = await stage.infer({ ...options, json: true })
  return JSON.parse(text)
}

describe('an image', () => {
  test('of a model with classes is answered with a line for each label', async () => {
    const path = await stage.photo()
    expect(await stage.infer({ files: [path] })).toEqual([
      `model colours version 1, ${path}, round trip 1.50 ms`,
      'red     1.0000',
      'blue    0.1000',
    ])
  })

  test('is a run of its own among several', async () => {
    const paths = [await stage.photo(), await stage.write('blue.png', buildPng([[[0, 0, 255]]]))]
    const lines = await stage.infer({ files: paths })
    expect(lines.filter((line) => !line.startsWith('model'))).toEqual([
      ...['red     1.0000', 'blue    0.1000'],
      ...['blue    1.0000', 'red     0.0000'],
    ])
  })

  test('may be given to an input by name', async () => {
    expect(await stage.infer({ inputs: [`image=${await stage.photo()}`] })).toEqual([
      'model colours version 1, inputs, round trip 1.50 ms',
      'red     1.0000',
      'blue    0.1000',
    ])
  })

  test('is one JSON object for a program', async () => {
    const path = await stage.photo()
    expect(await inferJson({ files: [path] })).toEqual({
      model: 'colours',
      runs: [
        {
          source: path,
          version: '1',
          requests: 1,
          round_trip_ms_median: 1.5,
          round_trip_ms_min: 1.5,
          round_trip_ms_max: 1.5,
          outputs: [
            {
              name: 'scores',
              as: 'classes',
              windows: 1,
              scores: [
                { label: 'red', score: 1 },
                { label: 'blue', score: expect.closeTo(0.1) },
              ],
            },
          ],
        },
      ],
    })
  })

  test('asks the version that was named', async () => {
    await stage.infer({ files: [await stage.photo()], modelVersion: '1' })
    expect(stage.server.requests.map(({ path }) => path)).toEqual([
      '/v2/models/colours/versions/1',
      '/v2/models/colours/versions/1/infer',
    ])
  })
})

describe('a recording', () => {
  test('is sent window by window, with the state of one carried to the next, over one connection', async () => {
    const path = await stage.speech()
    expect(await stage.infer({ model: 'listener', files: [path] })).toEqual([
      `model listener version 1, ${path}, 4 requests, round trip 1.50 ms (median)`,
      'noise 0.00 s to 0.00 s (mean 0.75)',
    ])
    expect(stage.server.runs).toEqual([
      { sound: [0, 0, 0], state: [0], rate: [8000] },
      { sound: [0, 0, 0.75], state: [1], rate: [8000] },
      { sound: [0.75, 0.5, 0], state: [2], rate: [8000] },
      { sound: [0, 0, 0], state: [3], rate: [8000] },
    ])
    expect(new Set(stage.server.requests.map(({ port }) => port)).size).toBe(1)
  })

  test('is one JSON object with times in seconds', async () => {
    const segments = [{ start_seconds: 0.000_25, end_seconds: 0.000_5, mean: 0.75 }]
    const outputs = [{ name: 'loudness', as: 'segments', label: 'noise', segments }]
    expect(await inferJson({ model: 'listener', files: [await stage.speech()] })).toMatchObject({
      runs: [{ requests: 4, outputs }],
    })
  })
})

describe('JSON', () => {
  const model = 'twice/plain'
  const answered = [expect.stringContaining('round trip'), 'y INT32 [1, 2]: 6, -8']

  test('by input name, flat or nested, from a file', async () => {
    const paths = [
      await stage.write('flat.json', '{"x": [3, -4]}'),
      await stage.write('nested.json', '{"x": [[3, -4]]}'),
    ]
    expect(await stage.infer({ model, files: paths })).toEqual([...answered, ...answered])
  })

  test('from standard input', async () => {
    expect(await stage.infer({ model, files: ['-'] }, '{"x": [3, -4]}')).toEqual([
      'model twice/plain version 1, standard input, round trip 1.50 ms',
      'y INT32 [1, 2]: 6, -8',
    ])
  })

  test('on the command line', async () => {
    expect(await stage.infer({ model, inputs: ['x=[3, -4]'] })).toEqual(answered)
  })

  test('of a whole request is sent as it is', async () => {
    const text =
      ' {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT32", "data": [3, -4]}], "id": "7"}'
    expect(await stage.infer({ model, files: [await stage.write('request.json', text)] })).toEqual(answered)
    expect(Buffer.from(stage.server.requests.at(-1)?.body ?? []).toString()).toBe(text)
  })
})
