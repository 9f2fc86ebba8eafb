/** Triton's traces: which requests are traced, what is written of them, where, and how much at most. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createTraceWriter } from '../../src/http/trace-file.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { echoRequest, stageApp } from '../kit/app-stage.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { createTracer } from '../kit/traces.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const ON = { trace_level: ['TIMESTAMPS'], trace_rate: '1' }
const ECHO = { model: 'echo', version: '1' }

function stage(options: Parameters<typeof createTracer>[1] = {}) {
  const files = new Map<string, string[]>()
  const tracer = createTracer(files, options)
  const request = (model = 'echo') => {
    const trace = tracer.begin(model)
    if (trace !== undefined) tracer.end(trace, { model, version: '1' })
    return trace !== undefined
  }
  return { files, tracer, request }
}

describe('which requests', () => {
  test('none until somebody asks', () => {
    expect(stage().request()).toBe(false)
  })

  test('every so many-th, until the count is used up', () => {
    const { tracer, request } = stage()
    tracer.update({ ...ON, trace_rate: '3', trace_count: '2' })
    const traced = Array.from({ length: 12 }, (_, index) => (request() ? index + 1 : 0))
    expect(traced.filter((number) => number > 0)).toEqual([3, 6])
  })

  test('a model with settings of its own counts for itself', () => {
    const { tracer, request } = stage()
    tracer.update(ON)
    tracer.update({ trace_level: ['OFF'] }, 'quiet')
    expect([request('echo'), request('quiet'), request('other')]).toEqual([true, false, true])
    tracer.update({ trace_level: null }, 'quiet')
    expect(request('quiet')).toBe(true)
  })

  test('none once they are turned off again', () => {
    const { tracer, request } = stage()
    tracer.update(ON)
    tracer.update({ trace_level: ['OFF'] })
    expect(request()).toBe(false)
  })
})

describe('what is written', () => {
  test('the moments of a request, in the order in which they came', async () => {
    const clock = new FakeClock()
    const { files, tracer } = stage({ clock })
    tracer.update(ON)
    const trace = tracer.begin('echo')
    trace?.mark('HTTP_RECV_START')
    clock.advance(10)
    trace?.run({ queueMs: 1, inputMs: 2, inferMs: 3, outputMs: 1 })
    if (trace !== undefined) tracer.end(trace, ECHO)
    await tracer.close()
    expect(files.get('trace.json')?.map((entry) => JSON.parse(entry))).toEqual([
      { id: 1, model_name: 'echo', model_version: '1' },
      {
        id: 1,
        timestamps: [
          { name: 'HTTP_RECV_START', ns: 0 },
          { name: 'COMPUTE_START', ns: 4e6 },
          { name: 'COMPUTE_INPUT_END', ns: 6e6 },
          { name: 'COMPUTE_OUTPUT_START', ns: 9e6 },
          { name: 'COMPUTE_END', ns: 10e6 },
        ],
      },
    ])
  })

  test('a file for every so many, with the number of it', async () => {
    const { files, tracer, request } = stage()
    tracer.update({ ...ON, log_frequency: '2' })
    for (let count = 0; count < 5; count += 1) request()
    await tracer.close()
    expect([...files].map(([path, entries]) => [path, entries.length])).toEqual([
      ['trace.json.0', 4],
      ['trace.json.1', 4],
      ['trace.json.2', 2],
    ])
  })

  test('the last one of a count at once', async () => {
    const { files, tracer, request } = stage()
    tracer.update({ ...ON, trace_count: '2' })
    request()
    expect(files.size).toBe(0)
    request()
    await Promise.resolve()
    expect(files.get('trace.json')).toHaveLength(4)
  })

  test('up to the bound, and again after a change of the settings', async () => {
    const { files, tracer, request } = stage({ bytesMax: 300 })
    tracer.update(ON)
    const traced = Array.from({ length: 20 }, () => request())
    expect(traced.at(-1)).toBe(false)
    await Promise.resolve()
    expect(files.get('trace.json')?.join('').length).toBeLessThan(400)
    tracer.update({ trace_rate: '1' })
    expect(request()).toBe(true)
  })
})

test('the file is an array of JSON after every write, and an older one goes', async () => {
  const folder = await createFolder()
  const path = join(folder.path, 'trace.json')
  await Bun.write(path, 'x'.repeat(1000))
  const write = createTraceWriter()
  await write(path, ['{"id":1}', '{"id":2}'])
  expect(await Bun.file(path).json()).toEqual([{ id: 1 }, { id: 2 }])
  await write(path, ['{"id":3}'])
  expect(await Bun.file(path).json()).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }])
  await folder.remove()
})

test('a request over HTTP has all its moments, in order', async () => {
  const files = new Map<string, string[]>()
  const { ask } = await stageApp({ tracer: createTracer(files) })
  await ask('POST', '/v2/trace/setting', { ...ON, trace_count: '1' })
  await ask('POST', '/v2/models/echo/infer', echoRequest([1]))
  const entries = files.get('trace.json')?.map((entry) => JSON.parse(entry)) ?? []
  const timestamps = entries[1].timestamps as { name: string; ns: number }[]
  expect(timestamps.map(({ name }) => name)).toEqual([
    'HTTP_RECV_START',
    'HTTP_RECV_END',
    'REQUEST_START',
    'QUEUE_START',
    'COMPUTE_START',
    'COMPUTE_INPUT_END',
    'COMPUTE_OUTPUT_START',
    'COMPUTE_END',
    'REQUEST_END',
    'HTTP_SEND_START',
    'HTTP_SEND_END',
  ])
})
