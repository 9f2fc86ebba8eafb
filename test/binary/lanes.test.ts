/** A request's life in the compiled binary, where only time and other requests can show it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
let server: Running

const BATCHED = 'max_batch_size = 8\n[batching]\nqueue_delay_us_max = 20000\n'

beforeAll(async () => {
  const model = (path: string) => join(folder.path, 'models', path)
  await Bun.write(model('slow/1/model.onnx'), zoo.slow())
  await Bun.write(model('simple/1/model.onnx'), zoo.simple())
  await Bun.write(model('batched/1/model.onnx'), zoo.simple())
  await Bun.write(model('batched/config.toml'), BATCHED)
  await Bun.write(model('fixed/1/model.onnx'), zoo.identity('FLOAT', [4, 2]))
  await Bun.write(model('fixed/config.toml'), 'max_batch_size = 4\n')
  await Bun.write(model('contradicting/1/model.onnx'), zoo.simple())
  await Bun.write(model('contradicting/config.toml'), '[batching]\npreferred_batch_sizes = [4]\n')
  server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

interface ModelStats {
  inference_count: number
  execution_count: number
  inference_stats: Record<string, { count: number; ns: number }>
  batch_stats: { batch_size: number }[]
}

async function statsOf(model: string): Promise<ModelStats> {
  const { model_stats } = (await (await fetch(`${server.url}/v2/models/${model}/stats`)).json()) as {
    model_stats: [ModelStats]
  }
  return model_stats[0]
}

const slowRequest = (trips: number) =>
  `{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[${trips}]}]}`
const simpleRequest = (value: number) =>
  JSON.stringify({
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      datatype: 'INT32',
      shape: [1, 16],
      data: new Array(16).fill(value),
    })),
  })

test('a run whose client has gone is ended, and the model answers the next', async () => {
  const abort = new AbortController()
  const gone = fetch(`${server.url}/v2/models/slow/infer`, {
    method: 'POST',
    body: slowRequest(100_000_000),
    signal: abort.signal,
  }).catch((error: Error) => error.name)
  // It runs for minutes unless it is ended: that it runs shows in the requests in flight.
  for (;;) {
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    if (/limpet_requests_in_flight 1/.test(metrics)) break
  }
  abort.abort()
  expect(await gone).toBe('AbortError')
  while ((await statsOf('slow')).inference_stats['fail']?.count !== 1) await Bun.sleep(5)
  expect((await inferJson(server.url, 'slow', slowRequest(1))).status).toBe(200)
}, 20_000)

test('requests that come together share runs, and each gets its own answer', async () => {
  const answers = await Promise.all(
    Array.from({ length: 64 }, async (_, value) => {
      const { text } = await inferJson(server.url, 'batched', simpleRequest(value))
      return (JSON.parse(text) as { outputs: [{ data: number[] }] }).outputs[0].data[0]
    }),
  )
  expect(answers).toEqual(Array.from({ length: 64 }, (_, value) => 2 * value))
  const { inference_count, execution_count, batch_stats } = await statsOf('batched')
  expect(inference_count).toBe(64)
  expect(execution_count).toBeLessThan(40)
  expect(Math.max(...batch_stats.map(({ batch_size }) => batch_size))).toBeGreaterThan(1)
})

test('a model that is built for a batch of four takes fewer, and says that any number will do', async () => {
  const metadata = (await (await fetch(`${server.url}/v2/models/fixed`)).json()) as {
    inputs: { shape: number[] }[]
  }
  expect(metadata.inputs[0]?.shape).toEqual([-1, 2])
  const request = '{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[3,2],"data":[1,2,3,4,5,6]}]}'
  const { status, text } = await inferJson(server.url, 'fixed', request)
  expect([status, text]).toEqual([200, expect.stringContaining('"shape":[3,2],"data":[1,2,3,4,5,6]')])
})

test('a priority or a timeout that is none is refused, one that is one is taken', async () => {
  const withParameters = (parameters: string) => simpleRequest(1).replace('{', `{"parameters":${parameters},`)
  expect(
    (await inferJson(server.url, 'simple', withParameters('{"timeout":500000,"priority":1}'))).status,
  ).toBe(200)
  expect(await inferJson(server.url, 'simple', withParameters('{"timeout":-1}'))).toEqual({
    status: 400,
    text: expect.stringContaining('parameter \\"timeout\\" is -1, expected an integer of 0 or more'),
  })
})

test('settings that contradict each other are named, and keep nobody else from serving', async () => {
  const index = (await (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).json()) as {
    name: string
    reason?: string
  }[]
  const reason = index.find(({ name }) => name === 'contradicting')?.reason
  expect(reason).toContain('batching needs a max_batch_size above 0')
})

describe('statistics', () => {
  test('have every key that perf_analyzer reads, and add up', async () => {
    await inferJson(server.url, 'simple', simpleRequest(1))
    const { inference_stats, inference_count } = await statsOf('simple')
    const keys = [
      'success',
      'fail',
      'queue',
      'compute_input',
      'compute_infer',
      'compute_output',
      'cache_hit',
      'cache_miss',
    ]
    expect(Object.keys(inference_stats)).toEqual(keys)
    expect(inference_stats['queue']?.count).toBe(inference_stats['success']?.count ?? -1)
    expect(inference_count).toBeGreaterThanOrEqual(1)
  })

  test('of a model that is not there are refused', async () => {
    const response = await fetch(`${server.url}/v2/models/nope/stats`)
    expect([response.status, await response.json()]).toEqual([
      404,
      { error: expect.stringContaining("'nope'") },
    ])
  })

  test('are there as metrics with the names of Triton, in the text format of Prometheus', async () => {
    const response = await fetch(`${server.url}/metrics`)
    expect(response.headers.get('content-type')).toContain('text/plain')
    const text = await response.text()
    expect(text).toMatch(/^nv_inference_request_success\{model="batched",version="1"\} 64$/m)
    expect(text).toMatch(/^nv_inference_request_failure\{model="slow",version="1",reason="CANCELED"\} 1$/m)
    expect(text).toMatch(
      /^nv_inference_request_duration_histogram_us_count\{model="batched",version="1"\} 64$/m,
    )
    expect(text).toMatch(
      /^limpet_inference_batch_size_bucket\{model="batched",version="1",le="\+Inf"\} \d+$/m,
    )
    expect(text).toMatch(/^limpet_event_loop_delay_seconds_bucket\{le="0.02"\} \d+$/m)
    expect(text).toMatch(/^limpet_event_loop_held_seconds_bucket\{le="0.02"\} \d+$/m)
    expect(text).toMatch(/^limpet_event_loop_held_max_seconds \d/m)
    const lines = text.trim().split('\n')
    expect(
      lines.every((line) =>
        /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\\n]|\\.)*",?)+\})? [\d.e+-]+)$/.test(line),
      ),
    ).toBe(true)
  })
})
