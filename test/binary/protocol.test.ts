/** Triton's extensions and the ways to reach the server, asked of the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import {
  BINARY,
  createFolder,
  type Running,
  readLog,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { until } from '../kit/until.ts'
import { encodeBinary, inferJson, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const models = join(folder.path, 'models')
const socket = join(folder.path, 'limpet.sock')
const SECRET = 'a value that no log may hold'
let server: Running

const serve = (config: string) => [BINARY, 'serve', '--models', models, '--port', '0', '--config', config]

beforeAll(async () => {
  const labelled = `outputs = [{ name = "OUTPUT0", datatype = "FP32", dims = [-1, 3], label_file = "labels.txt" }]`
  await writeModel(models, 'labelled', { onnx: zoo.identity('FLOAT', ['batch', 'n']), config: labelled })
  await Bun.write(join(models, 'labelled', 'labels.txt'), 'cat\ndog\nbird\n')
  await writeModel(models, 'unlabelled', { onnx: zoo.identity('FLOAT16', ['n']) })
  await writeModel(models, 'lost-labels', { onnx: zoo.identity('FLOAT', ['batch', 'n']), config: labelled })
  await Bun.write(join(folder.path, 'key'), `${SECRET}\n`)
  await Bun.write(
    join(folder.path, 'limpet.toml'),
    `[http]
    base_path = "/edge/limpet"
    unix_socket = ${JSON.stringify(socket)}
    shared_memory = true
    [[http.restricted]]
    apis = ["model-repository", "trace"]
    header = "X-Limpet-Key"
    value_file = ${JSON.stringify(join(folder.path, 'key'))}
    `,
  )
  server = await startServing(folder.path, { command: serve(join(folder.path, 'limpet.toml')) })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await expect(stat(socket)).rejects.toThrow('ENOENT')
  expect(await readLog(folder.path)).not.toContain(SECRET)
  await folder.remove()
})

const ask = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`${server.url}${path}`, init)
  return { status: response.status, body: (await response.json()) as unknown }
}

describe('classification', () => {
  const request = (model: { shape: number[]; datatype: string; data: number[] }, classes: number) =>
    JSON.stringify({
      inputs: [{ name: 'INPUT0', ...model }],
      outputs: [{ name: 'OUTPUT0', parameters: { classification: classes } }],
    })

  test('of a batch, with the labels from the file', async () => {
    const body = request({ shape: [2, 3], datatype: 'FP32', data: [0.25, 2, 1, 7, 7, -7] }, 2)
    const { status, text } = await inferJson(server.url, 'labelled', body)
    expect([status, JSON.parse(text).outputs]).toEqual([
      200,
      [
        {
          name: 'OUTPUT0',
          datatype: 'BYTES',
          shape: [2, 2],
          data: ['2:1:dog', '1:2:bird', '7:0:cat', '7:1:dog'],
        },
      ],
    ])
  })

  test('of half floats without labels', async () => {
    const body = request({ shape: [3], datatype: 'FP16', data: [0.5, 1.5, 1] }, 1)
    const { text } = await inferJson(server.url, 'unlabelled', body)
    expect(JSON.parse(text).outputs[0]).toMatchObject({ shape: [1], data: ['1.5:1'] })
  })

  test('a model whose label file is missing is not served, and says so', async () => {
    const { body } = await ask('/v2/models')
    expect(body).toMatchObject({
      models: [
        { name: 'labelled', versions: [{ version: '1', state: 'READY' }] },
        { name: 'lost-labels', state: 'UNAVAILABLE', reason: expect.stringContaining('labels.txt') },
        { name: 'unlabelled', versions: [{ version: '1', state: 'READY' }] },
      ],
    })
  })
})

test('the generate extension: a list in, a list out, and the same as a stream of one event', async () => {
  const body = JSON.stringify({ INPUT0: [0.5, -2], id: 'g' })
  const path = `${server.url}/v2/models/unlabelled/generate`
  const answer = await fetch(path, { method: 'POST', body })
  const text = await answer.text()
  expect(JSON.parse(text)).toEqual({
    id: 'g',
    model_name: 'unlabelled',
    model_version: '1',
    OUTPUT0: [0.5, -2],
  })
  const stream = await fetch(`${path}_stream`, { method: 'POST', body })
  expect(stream.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8')
  expect(await stream.text()).toBe(`data: ${text}\n\n`)
})

test('a traced request is in the file with its moments, in the order in which they came', async () => {
  const settings = { trace_level: ['TIMESTAMPS'], trace_rate: '1', trace_count: '1' }
  const headers = { 'X-Limpet-Key': SECRET }
  const body = JSON.stringify(settings)
  const set = await ask('/v2/models/unlabelled/trace/setting', { method: 'POST', body, headers })
  const { trace_file } = set.body as { trace_file: string }
  expect(trace_file).toBe(join(folder.path, 'state', 'trace.json'))
  const input = { name: 'INPUT0', datatype: 'FP16', shape: [1], data: [1] }
  await inferJson(server.url, 'unlabelled', JSON.stringify({ inputs: [input] }))
  // Written beside the answering: changing the settings waits for nothing, stopping would.
  const entries = await until('the trace', () =>
    Bun.file(trace_file)
      .json()
      .catch(() => undefined),
  )
  const [head, { timestamps }] = entries as [object, { timestamps: { name: string; ns: number }[] }]
  expect(head).toEqual({ id: 1, model_name: 'unlabelled', model_version: '1' })
  expect(timestamps.map(({ ns }) => ns)).toEqual(timestamps.map(({ ns }) => ns).sort((a, b) => a - b))
  expect(timestamps.at(0)?.name).toBe('HTTP_RECV_START')
  expect(timestamps.map(({ name }) => name)).toContain('COMPUTE_OUTPUT_START')
})

test('an answer comes compressed when that is asked for', async () => {
  const input = tensorOf('INPUT0', 'FP32', { shape: [1, 4096], data: new Float32Array(4096).fill(0.5) })
  const { body, headers } = encodeBinary([input])
  const send = (encoding: string) =>
    fetch(`${server.url}/v2/models/labelled/infer`, {
      method: 'POST',
      body,
      headers: { ...headers, 'Accept-Encoding': encoding },
      decompress: false,
    })
  const plain = await send('identity')
  const packed = await send('gzip;q=0.5, deflate')
  expect([plain.headers.get('Content-Encoding'), packed.headers.get('Content-Encoding')]).toEqual([
    null,
    'deflate',
  ])
  const bytes = new Uint8Array(await packed.arrayBuffer())
  expect(packed.headers.get('Content-Length')).toBe(String(bytes.length))
  expect(bytes.length).toBeLessThan(1000)
  expect(new Uint8Array(inflateSync(bytes))).toEqual(new Uint8Array(await plain.arrayBuffer()))
})

describe('ways in', () => {
  test('the base path is in the address that is printed, and nothing answers without it', async () => {
    expect(server.url).toEndWith('/edge/limpet')
    expect((await ask('/v2/health/ready')).status).toBe(200)
    expect((await fetch(`${new URL(server.url).origin}/v2/health/ready`)).status).toBe(404)
  })

  test('the socket answers as TCP does, to owner and group', async () => {
    expect((await stat(socket)).mode & 0o777).toBe(0o660)
    const response = await fetch('http://localhost/edge/limpet/v2/models/unlabelled/infer', {
      method: 'POST',
      body: '{"inputs":[{"name":"INPUT0","datatype":"FP16","shape":[1],"data":[1]}]}',
      unix: socket,
    })
    expect(await response.json()).toMatchObject({ outputs: [{ data: [1] }] })
  })

  test('a second server leaves the socket to the first', async () => {
    const { exitCode, stderr } = await runToEnd(folder.path, {
      command: serve(join(folder.path, 'limpet.toml')),
    })
    expect([exitCode, stderr]).toEqual([78, expect.stringContaining('another process answers on it')])
    expect((await fetch('http://localhost/edge/limpet/v2', { unix: socket })).status).toBe(200)
  })

  test('a restricted group asks for its header', async () => {
    const index = (headers: Record<string, string>) =>
      ask('/v2/repository/index', { method: 'POST', headers })
    const refused = {
      status: 403,
      body: { error: "This API is restricted, expecting header 'X-Limpet-Key'" },
    }
    expect(await index({})).toEqual(refused)
    expect(await index({ 'x-limpet-key': 'wrong' })).toEqual(refused)
    expect((await index({ 'x-limpet-key': SECRET })).status).toBe(200)
    expect((await ask('/v2/trace/setting')).status).toBe(403)
    expect((await ask('/v2/models/labelled')).status).toBe(200)
  })
})

describe('system shared memory', () => {
  const [inputKey, outputKey] = ['in', 'out'].map((end) => `/limpet-test-${crypto.randomUUID()}-${end}`)
  const count = 65_536
  const bytes = count * 4

  const post = async (path: string, body?: object) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) }
    const response = await fetch(`${server.url}/v2/${path}`, { method: 'POST', ...init })
    return [response.status, await response.text()] as const
  }

  const request = (offset: number) => {
    const shared = (region: string) => ({ shared_memory_region: region, shared_memory_byte_size: bytes })
    const tensor = { name: 'INPUT0', datatype: 'FP32', shape: [1, count] }
    return {
      inputs: [{ ...tensor, parameters: { ...shared('I_0_0'), shared_memory_offset: offset } }],
      outputs: [{ name: 'OUTPUT0', parameters: shared('O') }],
    }
  }

  beforeAll(async () => {
    await Bun.write(`/dev/shm${inputKey}`, new Uint8Array(bytes + 8))
    await Bun.write(`/dev/shm${outputKey}`, new Uint8Array(bytes))
  })

  afterAll(async () => {
    for (const key of [inputKey, outputKey]) await rm(`/dev/shm${key}`, { force: true })
  })

  test('what perf_analyzer asks for, in its order', async () => {
    for (const kind of ['system', 'cuda'])
      expect(await post(`${kind}sharedmemory/unregister`)).toEqual([200, ''])
    const register = (region: string, key: string | undefined, byte_size: number) =>
      post(`systemsharedmemory/region/${region}/register`, { key, offset: 0, byte_size })
    expect(await register('O', outputKey, bytes)).toEqual([200, ''])
    expect(await register('I_0_0', inputKey, bytes + 8)).toEqual([200, ''])
    expect((await ask('/v2')).body).toMatchObject({
      extensions: expect.arrayContaining(['system_shared_memory']),
    })
    // Once where elements lie aligned, once where they do not.
    for (const offset of [0, 5]) {
      const values = Float32Array.from({ length: count }, (_, index) => index / 8 + offset)
      const input = new Uint8Array(bytes + 8)
      input.set(new Uint8Array(values.buffer), offset)
      await Bun.write(`/dev/shm${inputKey}`, input)
      const [status, text] = await post('models/labelled/infer', request(offset))
      expect([status, JSON.parse(text).outputs]).toEqual([
        200,
        [{ name: 'OUTPUT0', datatype: 'FP32', shape: [1, count] }],
      ])
      expect(new Float32Array(await Bun.file(`/dev/shm${outputKey}`).arrayBuffer())).toEqual(values)
    }
    for (const kind of ['system', 'cuda'])
      expect(await post(`${kind}sharedmemory/unregister`)).toEqual([200, ''])
    expect(await post('models/labelled/infer', request(0))).toEqual([
      400,
      expect.stringContaining('Unable to find shared memory region'),
    ])
  })
})

test('what is switched off is not logged any more', async () => {
  const own = await createFolder()
  const quiet = await startServing(own.path, { command: serve('/dev/null') })
  const body = JSON.stringify({ log_info: false })
  const response = await fetch(`${quiet.url}/v2/logging`, { method: 'POST', body })
  expect(await response.json()).toMatchObject({ log_info: false, log_error: true })
  expect(await quiet.stop()).toBe(0)
  const log = await readLog(own.path)
  expect([log.includes('app.serving'), log.includes('app.stopping')]).toEqual([true, false])
  await own.remove()
})
