/** The shared memory extensions, answered by the app itself. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { decodeInferRequest } from '../../src/http/infer-request.ts'
import { SharedRegions } from '../../src/http/shared-regions.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { echoRequest, stageApp } from '../kit/app-stage.ts'

const KEY = `/limpet-test-${crypto.randomUUID()}`
const PATH = `/dev/shm${KEY}`
const SYSTEM = '/v2/systemsharedmemory'

beforeAll(async () => {
  setLogLevel('silent')
  await Bun.write(
    PATH,
    new Uint8Array(64).map((_, index) => index),
  )
})

afterAll(async () => {
  setLogLevel('info')
  await rm(PATH, { force: true })
})

async function stage() {
  const regions = new SharedRegions()
  const app = await stageApp({ regions })
  const change = async (path: string, body?: object) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) }
    const response = await app.send('POST', `${SYSTEM}${path}`, init)
    return { status: response.status, text: await response.text() }
  }
  const register = (name: string, body: object) => change(`/region/${name}/register`, body)
  const status = async (path = '') => (await app.ask('GET', `${SYSTEM}${path}/status`)).body
  return { ...app, change, register, status }
}

const shared = (region: string, bytes: number, offset?: number) => ({
  shared_memory_region: region,
  shared_memory_byte_size: bytes,
  ...(offset === undefined ? {} : { shared_memory_offset: offset }),
})
const input = (parameters: object, count: number) => ({
  name: 'INPUT0',
  datatype: 'UINT8',
  shape: [count],
  parameters,
})
const OK = { status: 200, text: '' }

describe('regions', () => {
  test('are registered, told, and unregistered, one or all', async () => {
    const { register, change, status } = await stage()
    expect(await status()).toEqual([])
    expect(await register('a', { key: KEY, byte_size: 64 })).toEqual(OK)
    expect(await register('b', { key: KEY, offset: 8, byte_size: 8 })).toEqual(OK)
    const a = { name: 'a', key: KEY, offset: 0, byte_size: 64 }
    const b = { name: 'b', key: KEY, offset: 8, byte_size: 8 }
    expect(await status()).toEqual([a, b])
    expect(await status('/region/b')).toEqual([b])
    expect(await change('/region/a/unregister')).toEqual(OK)
    expect(await status()).toEqual([b])
    expect(await change('/region/a/unregister')).toEqual(OK)
    expect(await change('/unregister')).toEqual(OK)
    expect(await status()).toEqual([])
    expect(await status('/region/b')).toEqual({ error: "Unable to find system shared memory region: 'b'" })
  })

  test.each([
    [{ key: KEY, byte_size: 64, offset: 1 }, 'Invalid offset for shared memory region'],
    [{ key: KEY, byte_size: -1 }, 'byte_size is -1'],
    [{ key: KEY }, 'byte_size is missing'],
    [{ key: KEY, byte_size: 8, offset: 0.5 }, 'offset is 0.5'],
    [{ key: 5, byte_size: 8 }, 'key is 5'],
    [{ key: '/../etc/hostname', byte_size: 1 }, 'its key is not a name'],
    [{ key: '/limpet-test-nothing', byte_size: 1 }, 'ENOENT'],
  ])('%j is refused', async (body, message) => {
    const { register, status } = await stage()
    expect(await register('a', body)).toEqual({ status: 400, text: expect.stringContaining(message) })
    expect(await status()).toEqual([])
  })

  test('a name is taken once', async () => {
    const { register } = await stage()
    expect(await register('a', { key: KEY, byte_size: 8 })).toEqual(OK)
    const { status, text } = await register('a', { key: KEY, byte_size: 8 })
    expect([status, text]).toEqual([
      400,
      expect.stringContaining("shared memory region 'a' already in manager"),
    ])
  })
})

describe('tensors in regions', () => {
  test('an input is read from one, an output written into another', async () => {
    const { ask, register } = await stage()
    await register('all', { key: KEY, byte_size: 64 })
    await register('part', { key: KEY, byte_size: 16, offset: 32 })
    const answer = await ask('POST', '/v2/models/echo/infer', {
      inputs: [input(shared('all', 4, 3), 4)],
      outputs: [{ name: 'OUTPUT0', parameters: shared('part', 8, 2) }],
    })
    // Neither data nor parameters: the C++ client knows by that where to look.
    expect(answer).toEqual({
      status: 200,
      body: {
        model_name: 'echo',
        model_version: '1',
        outputs: [{ name: 'OUTPUT0', datatype: 'UINT8', shape: [4] }],
      },
    })
    const bytes = new Uint8Array(await Bun.file(PATH).arrayBuffer())
    expect([...bytes.subarray(33, 40)]).toEqual([33, 3, 4, 5, 6, 38, 39])
  })

  test.each<[string, object, object | undefined, string]>([
    ['a region that is not there', shared('no', 4), undefined, "Unable to find shared memory region: 'no'"],
    [
      'an end beyond the region',
      shared('r', 8, 9),
      undefined,
      "Invalid offset + byte size for shared memory region: 'r'",
    ],
    ['a size that is not the shape', shared('r', 5), undefined, 'shared_memory_byte_size is 5, expected 4'],
    ['binary data as well', { ...shared('r', 4), binary_data_size: 4 }, undefined, 'expected one'],
    [
      'too small an output',
      shared('r', 4),
      shared('r', 3),
      "output 'OUTPUT0' (3 bytes) should be at least 4 bytes",
    ],
    [
      'a classified output',
      shared('r', 4),
      { ...shared('r', 4), classification: 1 },
      'neither classification',
    ],
    ['a binary output', shared('r', 4), { ...shared('r', 4), binary_data: true }, 'nor binary_data'],
  ])('%s: refused', async (_, from, to, message) => {
    const { ask, register, session } = await stage()
    await register('r', { key: KEY, byte_size: 16 })
    const outputs = to === undefined ? undefined : [{ name: 'OUTPUT0', parameters: to }]
    const body = { inputs: [input(from, 4)], ...(outputs === undefined ? {} : { outputs }) }
    const answer = await ask('POST', '/v2/models/echo/infer', body)
    expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(message) } })
    expect(session.released).toBe(session.runs.length)
  })
})

describe('while it is off', () => {
  test('only that there is nothing left of it can be had', async () => {
    const { ask, send } = await stageApp()
    const message = { error: expect.stringContaining('http.shared_memory = true') }
    const register = await ask('POST', `${SYSTEM}/region/a/register`, { key: KEY, byte_size: 8 })
    expect(register).toEqual({ status: 400, body: message })
    const parameters = shared('a', 1)
    const outputs = [{ name: 'OUTPUT0', parameters }]
    for (const body of [{ inputs: [input(parameters, 1)] }, echoRequest([1], outputs)])
      expect(await ask('POST', '/v2/models/echo/infer', body)).toEqual({ status: 400, body: message })
    expect(await ask('GET', `${SYSTEM}/status`)).toEqual({ status: 200, body: [] })
    expect((await send('POST', `${SYSTEM}/unregister`)).status).toBe(200)
  })

  test('the server does not say that it has it', async () => {
    const extensions = async (regions?: SharedRegions) => {
      const { ask } = await stageApp({ regions })
      return ((await ask('GET', '/v2')).body as { extensions: string[] }).extensions
    }
    expect(await extensions()).not.toContain('system_shared_memory')
    expect(await extensions(new SharedRegions())).toContain('system_shared_memory')
  })
})

test('a request whose inputs lie there is known as one that may change while it is answered', () => {
  const regions = new SharedRegions()
  regions.register('r', { key: KEY, byte_size: 8 })
  const decode = (body: object) =>
    decodeInferRequest(new Uint8Array(Buffer.from(JSON.stringify(body))).buffer, null, regions).isVolatile
  expect(decode({ inputs: [input(shared('r', 4), 4)] })).toBe(true)
  expect(decode(echoRequest([1, 2]))).toBe(false)
  regions.unregister()
})

test("of CUDA's there is nothing to use, and nothing left to unregister", async () => {
  const { ask, send } = await stage()
  const refused = { status: 400, body: { error: expect.stringContaining('use system shared memory') } }
  expect(await ask('GET', '/v2/cudasharedmemory/status')).toEqual(refused)
  expect(await ask('POST', '/v2/cudasharedmemory/region/a/register', {})).toEqual(refused)
  expect((await send('POST', '/v2/cudasharedmemory/unregister')).status).toBe(200)
  expect((await send('POST', '/v2/cudasharedmemory/region/a/unregister')).status).toBe(200)
})
