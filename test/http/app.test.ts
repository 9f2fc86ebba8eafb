/** Every route that needs no runtime, answered by the app itself. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { LoopLooks } from '../../src/app/loop-delay.ts'
import { createHandler } from '../../src/http/app.ts'
import { Codec } from '../../src/http/codec.ts'
import { Engine } from '../../src/inference/engine.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import { BugError, EdgeError } from '../../src/kit/errors.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan } from '../kit/fake-session.ts'
import { createTracer } from '../kit/traces.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

/** "echo" with versions 2 and 10 and a broken 11, "broken" without any that serves. */
async function stage(requestsMax = 4, isStarted = true) {
  const backend = new FakeBackend()
  const session = new FakeSession()
  backend.sessions.set('echo/2', new FakeSession()).set('echo/10', session)
  const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1 })
  for (const version of ['10', '2', '11']) await lanes.load(lanePlan('echo', version))
  lanes.note('broken', '', 'Cannot serve "broken": it holds no version')
  const engine = new Engine({ lanes, requestsMax, bytesMax: 1e6 })
  const handle = createHandler({
    engine,
    serverName: 'limpet',
    serverVersion: '1.2.3',
    bodyBytesMax: 2_000,
    codec: new Codec(),
    control: {
      load: () => Promise.resolve([]),
      unload: () => Promise.resolve(),
      label: () => Promise.resolve({}),
    },
    machine: () => Promise.resolve({ processors: undefined, gpus: [] }),
    board: { profile: 'x64', jetpack: '', unknown: 0, missing: [] },
    loopDelay: () => new LoopLooks({ nowMs: 0, busyMs: 0 }).snapshot,
    isStarted: () => isStarted,
    clientHints: (model) => (model === 'echo' ? { inputs: {} } : undefined),
    configured: () => undefined,
    labels: () => undefined,
    basePath: '',
    restrictions: [],
    regions: undefined,
    tracer: createTracer(),
    watch: undefined,
    moreMetrics: () => [],
  })
  const ask = async (method: string, path: string, body?: string) => {
    const response = await handle(
      new Request(`http://limpet${path}`, { method, ...(body === undefined ? {} : { body }) }),
    )
    return { status: response.status, headers: response.headers, body: (await response.json()) as unknown }
  }
  return { ask, handle, backend, engine, lanes, session }
}

const INPUT = { name: 'INPUT0', datatype: 'UINT8', shape: [2], data: [1, 2] }
const REQUEST = JSON.stringify({ id: 'a', inputs: [INPUT] })

describe('health', () => {
  test('the server is live and ready', async () => {
    const { ask } = await stage()
    expect(await ask('GET', '/v2/health/live')).toMatchObject({ status: 200, body: { live: true } })
    expect(await ask('GET', '/v2/health/ready')).toMatchObject({
      status: 200,
      body: { live: true, ready: true },
    })
  })

  test('it is live but not ready while a version is loading', async () => {
    const { ask, backend, lanes } = await stage()
    let loaded: (session: FakeSession) => void = () => undefined
    backend.sessions.set('slow/1', new Promise((resolve) => (loaded = resolve)))
    const loading = lanes.load(lanePlan('slow', '1'))
    expect(await ask('GET', '/v2/health/ready')).toMatchObject({
      status: 400,
      body: { live: true, ready: false },
    })
    expect((await ask('GET', '/v2/health/live')).status).toBe(200)
    loaded(new FakeSession())
    await loading
    expect((await ask('GET', '/v2/health/ready')).status).toBe(200)
  })

  test('it is live but not ready before all models have been tried', async () => {
    const { ask } = await stage(4, false)
    expect((await ask('GET', '/v2/health/ready')).body).toEqual({ live: true, ready: false })
    expect((await ask('GET', '/v2/models/echo/ready')).status).toBe(200)
  })

  test.each([
    ['echo', 200],
    ['echo/versions/2', 200],
    ['echo/versions/10', 200],
    ['echo/versions/11', 400],
    ['echo/versions/12', 400],
    ['broken', 400],
    ['nothing', 400],
  ])('model %s: %d', async (path, status) => {
    const { ask } = await stage()
    expect(await ask('GET', `/v2/models/${path}/ready`)).toMatchObject({
      status,
      body: { name: path.split('/')[0], ready: status === 200 },
    })
  })
})

describe('metadata', () => {
  test('the server names itself', async () => {
    const { ask } = await stage()
    expect(await ask('GET', '/v2')).toMatchObject({
      status: 200,
      body: { name: 'limpet', version: '1.2.3', extensions: expect.arrayContaining(['binary_tensor_data']) },
    })
  })

  test('a model tells its ready versions; under a version, that one', async () => {
    const { ask } = await stage()
    const whole = await ask('GET', '/v2/models/echo')
    expect(whole.status).toBe(200)
    expect(whole.body).toEqual({
      name: 'echo',
      versions: ['2', '10'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'INPUT0', datatype: 'UINT8', shape: [-1] }],
      outputs: [{ name: 'OUTPUT0', datatype: 'UINT8', shape: [-1] }],
      properties: { client: { inputs: {} }, providers: ['cpu'], placement: null },
    })
    expect(await ask('GET', '/v2/models/echo/versions/2')).toMatchObject({
      status: 200,
      body: { name: 'echo', versions: ['2'] },
    })
  })

  test('the index lists every version with its state, and why it is not ready', async () => {
    const { ask } = await stage()
    expect(await ask('POST', '/v2/repository/index')).toMatchObject({
      status: 200,
      body: [
        { name: 'broken', state: 'UNAVAILABLE', reason: 'Cannot serve "broken": it holds no version' },
        { name: 'echo', version: '2', state: 'READY' },
        { name: 'echo', version: '10', state: 'READY' },
        { name: 'echo', version: '11', state: 'UNAVAILABLE', reason: 'There is no echo/11' },
      ],
    })
  })
})

describe('a version that a provider took and does not run', () => {
  test('says so in the index, the metadata and the metrics', async () => {
    const { ask, handle, session } = await stage()
    session.providers = ['cuda', 'cpu']
    session.placement = [
      { provider: 'cuda', nodes: 0, operators: [] },
      { provider: 'cpu', nodes: 7, operators: ['Conv', 'Relu'] },
    ]
    const index = await ask('POST', '/v2/repository/index', '{"ready": true}')
    expect(index.body).toEqual([
      { name: 'echo', version: '2', state: 'READY' },
      {
        name: 'echo',
        version: '10',
        state: 'READY',
        reason: 'runs on cuda, cpu; cuda runs none of its nodes',
      },
    ])
    expect(await ask('GET', '/v2/models/echo')).toMatchObject({
      body: { properties: { placement: session.placement } },
    })
    const metrics = await (await handle(new Request('http://limpet/metrics'))).text()
    expect(
      metrics.split('\n').filter((line) => /^limpet_(model_nodes|lane_provider_idle)/.test(line)),
    ).toEqual([
      'limpet_model_nodes{model="echo",version="10",provider="cuda"} 0',
      'limpet_model_nodes{model="echo",version="10",provider="cpu"} 7',
      'limpet_lane_provider_idle{model="echo",version="10",provider="cuda"} 1',
    ])
  })
})

describe('infer', () => {
  test('what finds the queue full is refused before its body is read', async () => {
    const { ask, session, handle, lanes } = await stage()
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    session.isHeld = true
    const asked = [1, 2, 3].map(() => ask('POST', '/v2/models/echo/infer', REQUEST))
    while (lanes.find('echo', undefined).queued < 2) await turn()
    let isRead = false
    const pull = (controller: ReadableStreamDefaultController) => {
      isRead = true
      controller.close()
    }
    const body = new ReadableStream({ pull }, { highWaterMark: 0 })
    const response = await handle(new Request('http://limpet/v2/models/echo/infer', { method: 'POST', body }))
    expect([response.status, response.headers.get('Retry-After'), isRead]).toEqual([429, '1', false])
    for (const _ of asked) {
      session.finish()
      await turn()
    }
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200])
  })

  test('the body alone is the only input when the JSON is said to be empty', async () => {
    const { handle } = await stage()
    const headers = { 'Inference-Header-Content-Length': '0' }
    const response = await handle(
      new Request('http://limpet/v2/models/echo/infer', { method: 'POST', body: 'abc', headers }),
    )
    const length = Number(response.headers.get('Inference-Header-Content-Length'))
    expect((await response.text()).slice(length)).toBe('abc')
  })

  test('a name in percent signs is the name without them', async () => {
    const { ask } = await stage()
    expect((await ask('POST', '/v2/models/%65cho/infer', REQUEST)).status).toBe(200)
    expect(await ask('POST', '/v2/models/%00%E0%A4%A/infer', REQUEST)).toMatchObject({ status: 404 })
  })

  test.each<[string, string, string, number, string]>([
    ['an unknown model', '/v2/models/nothing/infer', REQUEST, 404, 'nothing'],
    ['an unknown version', '/v2/models/echo/versions/3/infer', REQUEST, 404, 'there is 2, 10, 11'],
    ['a broken version', '/v2/models/echo/versions/11/infer', REQUEST, 503, 'There is no echo/11'],
    ['a broken model', '/v2/models/broken/infer', REQUEST, 503, 'it holds no version'],
    ['no JSON', '/v2/models/echo/infer', 'x', 400, 'Cannot infer with "echo/10": cannot parse JSON'],
    ['no input', '/v2/models/echo/infer', '{"inputs":[]}', 400, 'missing "INPUT0"'],
    ['a large body', '/v2/models/echo/infer', 'x'.repeat(2_001), 413, 'at most 2000'],
  ])('%s: what is wrong, in the body', async (_, path, body, status, message) => {
    const { ask, engine } = await stage()
    const answer = await ask('POST', path, body)
    expect(answer.status).toBe(status)
    expect(answer.body).toEqual({ error: expect.stringContaining(message) })
    expect(answer.headers.get('Retry-After')).toBe(status === 503 ? '1' : null)
    expect(engine.requests).toBe(0)
  })

  test('one more than may be inside answers 429 and says when to come again', async () => {
    const { ask, engine, session } = await stage(1)
    session.isHeld = true
    const first = ask('POST', '/v2/models/echo/infer', REQUEST)
    const refused = await ask('POST', '/v2/models/echo/infer', REQUEST)
    expect(refused).toMatchObject({
      status: 429,
      body: { error: 'Cannot admit request: 1 are in flight, at most 1 (inference.requests_max)' },
    })
    expect(refused.headers.get('Retry-After')).toBe('1')
    // The first has been let in and is on its way through the reading of its body.
    while (session.runs.length === 0) await Promise.resolve()
    session.finish()
    expect((await first).status).toBe(200)
    expect([engine.requests, session.released]).toEqual([0, 1])
    session.isHeld = false
    expect((await ask('POST', '/v2/models/echo/infer', REQUEST)).status).toBe(200)
  })

  test.each([
    ['the runtime', new EdgeError('runtime_failed', 'The kernel is broken'), 'The kernel is broken'],
    ['a bug', new BugError('Broken claim: secret'), 'Internal error: see the log'],
    ['anything else', new TypeError('secret is not a function'), 'Internal error: see the log'],
  ])('a failure of %s answers 500, and the next request is served', async (_, error, message) => {
    const { ask, session, engine } = await stage()
    session.isHeld = true
    const failing = ask('POST', '/v2/models/echo/infer', REQUEST)
    while (session.runs.length === 0) await Promise.resolve()
    session.fail(error)
    expect(await failing).toMatchObject({ status: 500, body: { error: message } })
    session.isHeld = false
    expect((await ask('POST', '/v2/models/echo/infer', REQUEST)).status).toBe(200)
    expect(engine.requests).toBe(0)
  })
})

describe('what is not there', () => {
  test.each(['/', '/v1', '/v2/', '/v2/health', '/v2/models/echo/versions', '/v2/models/echo/predict'])(
    '%s: 404',
    async (path) => {
      const { ask } = await stage()
      for (const method of ['GET', 'POST', 'DELETE'])
        expect(await ask(method, path)).toMatchObject({ status: 404, body: { error: 'Not Found' } })
    },
  )

  test.each([
    ['POST', '/v2'],
    ['POST', '/v2/health/live'],
    ['DELETE', '/v2/health/ready'],
    ['GET', '/v2/repository/index'],
    ['GET', '/v2/models/echo/infer'],
    ['PUT', '/v2/models/echo/versions/2/infer'],
    ['POST', '/v2/models/echo'],
    ['POST', '/v2/models/echo/ready'],
    ['PATCH', '/v2/models/echo/versions/2'],
  ])('%s %s: 405', async (method, path) => {
    const { ask } = await stage()
    expect(await ask(method, path)).toMatchObject({ status: 405, body: { error: 'Method Not Allowed' } })
  })
})
