/** What Triton adds to the protocol, answered by the app itself. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { logKinds, setLogLevel } from '../../src/kit/log.ts'
import { echoRequest, stageApp } from '../kit/app-stage.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const INFER = '/v2/models/echo/infer'

describe('classification', () => {
  const wanted = (parameters: object) => echoRequest([3, 9, 5], [{ name: 'OUTPUT0', parameters }])

  test('classes in JSON, with the labels of the model', async () => {
    const asked: string[][] = []
    const labels = (model: string, output: string) => {
      asked.push([model, output])
      return ['a', 'b']
    }
    const { ask, session } = await stageApp({ labels })
    const answer = await ask('POST', INFER, wanted({ classification: 2 }))
    expect(answer.body).toMatchObject({
      outputs: [{ name: 'OUTPUT0', datatype: 'BYTES', shape: [2], data: ['9:1:b', '5:2'] }],
    })
    expect(asked).toEqual([['echo', 'OUTPUT0']])
    expect(session.released).toBe(1)
  })

  test('classes as binary data', async () => {
    const { send } = await stageApp()
    const body = JSON.stringify(wanted({ classification: 1, binary_data: true }))
    const response = await send('POST', INFER, { body })
    const length = Number(response.headers.get('Inference-Header-Content-Length'))
    const came = Buffer.from(await response.arrayBuffer())
    expect(JSON.parse(came.subarray(0, length).toString())).toMatchObject({
      outputs: [{ datatype: 'BYTES', shape: [1], parameters: { binary_data_size: 7 } }],
    })
    expect(came.subarray(length)).toEqual(Buffer.from('\x03\0\0\x009:1'))
  })

  test('0 is the tensor itself', async () => {
    const { ask } = await stageApp()
    expect((await ask('POST', INFER, wanted({ classification: 0 }))).body).toMatchObject({
      outputs: [{ datatype: 'UINT8', shape: [3], data: [3, 9, 5] }],
    })
  })

  test.each([-1, 0.5, '2', null, 1e20])('%p classes: refused', async (classification) => {
    const { ask } = await stageApp()
    expect(await ask('POST', INFER, wanted({ classification }))).toEqual({
      status: 400,
      body: { error: expect.stringContaining('expected how many classes') },
    })
  })
})

test('an answer is compressed as the client asks for it; its header counts before', async () => {
  const { send } = await stageApp()
  const outputs = [{ name: 'OUTPUT0', parameters: { binary_data: true } }]
  const body = JSON.stringify(echoRequest(Array(5000).fill(7), outputs))
  const plain = await send('POST', INFER, { body })
  const response = await send('POST', INFER, { body, headers: { 'Accept-Encoding': 'gzip' } })
  expect(response.headers.get('Content-Encoding')).toBe('gzip')
  const length = response.headers.get('Inference-Header-Content-Length')
  expect(length).toBe(plain.headers.get('Inference-Header-Content-Length'))
  const came = Bun.gunzipSync(new Uint8Array(await response.arrayBuffer()))
  expect(came).toEqual(new Uint8Array(await plain.arrayBuffer()))
})

test('the list of models: versions with their states, and why they are not ready', async () => {
  const { ask } = await stageApp()
  expect(await ask('GET', '/v2/models')).toEqual({
    status: 200,
    body: {
      models: [
        { name: 'broken', versions: [], state: 'UNAVAILABLE', reason: 'it holds no version' },
        {
          name: 'echo',
          versions: [
            { version: '1', state: 'READY' },
            { version: '2', state: 'UNAVAILABLE', reason: 'There is no echo/2' },
          ],
        },
      ],
    },
  })
})

describe('base path', () => {
  test.each(['/limpet', '/a.b/c-d'])('%s stands before every path', async (basePath) => {
    const { ask } = await stageApp({ basePath })
    expect((await ask('GET', `${basePath}/v2`)).status).toBe(200)
    expect((await ask('POST', `${basePath}${INFER}`, echoRequest([1]))).status).toBe(200)
    expect((await ask('GET', `${basePath}${INFER}`)).status).toBe(405)
    expect((await ask('GET', '/v2')).status).toBe(404)
    expect((await ask('POST', INFER, echoRequest([1]))).status).toBe(404)
    expect((await ask('POST', `${basePath.replace('.', 'x')}x${INFER}`, echoRequest([1]))).status).toBe(404)
  })
})

describe('restricted groups', () => {
  const restrictions = [
    { apis: ['inference', 'logging'] as const, header: 'X-Key', value: 'secret' },
    { apis: ['health'] as const, header: 'X-Other', value: 'more' },
  ]

  test.each([
    ['POST', INFER, 'X-Key'],
    ['POST', '/v2/models/echo/versions/1/infer', 'X-Key'],
    ['POST', '/v2/models/nothing/infer', 'X-Key'],
    ['GET', '/v2/logging', 'X-Key'],
    ['GET', '/v2/health/live', 'X-Other'],
    ['GET', '/v2/models/echo/ready', 'X-Other'],
  ])('%s %s asks for %s', async (method, path, header) => {
    const { ask } = await stageApp({ restrictions })
    const body = method === 'POST' ? echoRequest([1]) : undefined
    const error = `This API is restricted, expecting header '${header}'`
    const refused = { status: 403, body: { error } }
    expect(await ask(method, path, body)).toEqual(refused)
    expect(await ask(method, path, body, { [header]: 'secre' })).toEqual(refused)
    expect(await ask(method, path, body, { [header]: '' })).toEqual(refused)
    const right = header === 'X-Key' ? 'secret' : 'more'
    const { status } = await ask(method, path, body, { [header.toLowerCase()]: right })
    expect(status).toBe(path.includes('nothing') ? 404 : 200)
  })

  test('the others are open', async () => {
    const { ask } = await stageApp({ restrictions })
    expect((await ask('GET', '/v2/models/echo')).status).toBe(200)
    expect((await ask('POST', '/v2/repository/index')).status).toBe(200)
  })
})

describe('logging', () => {
  const LOGGING = '/v2/logging'

  test('what is written is answered, and changes', async () => {
    const { ask } = await stageApp()
    setLogLevel('warn')
    const settings = {
      log_file: '',
      log_info: false,
      log_warning: true,
      log_error: true,
      log_verbose_level: 0,
      log_format: 'ISO8601',
    }
    expect(await ask('GET', LOGGING)).toEqual({ status: 200, body: settings })
    const loud = { ...settings, log_verbose_level: 2, log_warning: false }
    const changes = { log_verbose_level: 2, log_warning: false, log_format: 'ISO8601', log_file: '' }
    expect(await ask('POST', LOGGING, changes)).toEqual({ status: 200, body: loud })
    expect(await ask('GET', LOGGING)).toEqual({ status: 200, body: loud })
    expect([...logKinds()].sort()).toEqual(['debug', 'error'])
    setLogLevel('silent')
  })

  test.each([
    [{ log_file: '/tmp/log' }, 'log_file is "/tmp/log", the log goes to standard error'],
    [{ log_format: 'default' }, 'expected "ISO8601"'],
    [{ log_info: 1 }, 'expected true or false'],
    [{ log_verbose_level: -1 }, 'expected an integer'],
    [{ constructor: true }, 'there is no setting "constructor"'],
    [[], 'expected an object'],
  ])('%j: refused, and nothing changes', async (changes, message) => {
    const { ask } = await stageApp()
    const before = await ask('GET', LOGGING)
    const body = Array.isArray(changes) ? changes : { log_error: true, ...changes }
    expect(await ask('POST', LOGGING, body)).toEqual({
      status: 400,
      body: { error: expect.stringContaining(message) },
    })
    expect(await ask('GET', LOGGING)).toEqual(before)
  })
})

describe('trace settings', () => {
  const TRACE = '/v2/trace/setting'
  const OF_ECHO = '/v2/models/echo/trace/setting'
  const DEFAULTS = {
    trace_level: ['OFF'],
    trace_rate: '1000',
    trace_count: '-1',
    log_frequency: '0',
    trace_file: 'trace.json',
    trace_mode: 'triton',
  }

  test("a model's own stand over the server's, null takes them back", async () => {
    const { ask } = await stageApp()
    expect(await ask('GET', TRACE)).toEqual({ status: 200, body: DEFAULTS })
    const changes = { trace_level: ['OFF'], trace_rate: '5', trace_count: '7' }
    const server = { ...DEFAULTS, ...changes }
    expect(await ask('POST', TRACE, changes)).toEqual({ status: 200, body: server })
    const own = { ...server, trace_rate: '9' }
    expect(await ask('POST', OF_ECHO, { trace_rate: '9' })).toEqual({ status: 200, body: own })
    expect(await ask('GET', TRACE)).toEqual({ status: 200, body: server })
    expect(await ask('POST', OF_ECHO, { trace_rate: null })).toEqual({ status: 200, body: server })
    expect(await ask('POST', TRACE, { trace_rate: null, trace_count: null })).toMatchObject({
      body: DEFAULTS,
    })
  })

  test.each([
    [{ trace_level: ['TIMESTAMPS', 'TENSORS'] }, 501, 'expected "OFF" or "TIMESTAMPS"'],
    [{ trace_level: 'TENSORS' }, 501, 'expected "OFF" or "TIMESTAMPS"'],
    [{ trace_file: '/tmp/trace' }, 501, 'trace_file is not for clients to change'],
    [{ trace_mode: 'opentelemetry' }, 501, 'trace_mode is not'],
    [{ trace_level: [1] }, 400, 'an array of strings'],
    [{ trace_rate: 5 }, 400, 'trace_rate is 5'],
    [{ trace_rate: '0' }, 400, 'trace_rate is "0"'],
    [{ trace_count: '-2' }, 400, 'trace_count is "-2"'],
    [{ toString: '1' }, 400, 'no setting "toString"'],
  ])('%j: %d, and nothing changes', async (changes, status, message) => {
    const { ask } = await stageApp()
    const came = await ask('POST', TRACE, { log_frequency: '3', ...changes })
    expect(came).toEqual({ status, body: { error: expect.stringContaining(message) } })
    expect(await ask('GET', TRACE)).toEqual({ status: 200, body: DEFAULTS })
  })

  test('of a model that is not known: 404', async () => {
    const { ask } = await stageApp()
    expect((await ask('GET', '/v2/models/nothing/trace/setting')).status).toBe(404)
  })
})
