/** Loading with a config and files in the request, into the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
const models = join(folder.path, 'models')
const kept = join(folder.path, 'state/sent')
let server: Running

beforeAll(async () => {
  await writeModel(models, 'simple', { onnx: zoo.simple() })
  // As a process leaves it that is killed while it loads.
  await Bun.write(join(kept, 'load-old/net/1/model.onnx'), 'rest')
  server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  expect(await left()).toEqual([])
  await folder.remove()
})

const left = () => readdir(kept).catch(() => [])
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

async function post(path: string, body: unknown, at = server) {
  const response = await fetch(`${at.url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  return { status: response.status, text: await response.text() }
}
const load = (model: string, parameters?: unknown, at = server) =>
  post(`/v2/repository/models/${model}/load`, { parameters }, at)
const unload = (model: string) => post(`/v2/repository/models/${model}/unload`, {})

async function configOf(model: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${server.url}/v2/models/${model}/config`)
  return (await response.json()) as Record<string, unknown>
}

async function index(): Promise<{ name: string; version?: string; state: string }[]> {
  return JSON.parse((await post('/v2/repository/index', {})).text) as never
}

const SIMPLE = JSON.stringify({
  inputs: ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: new Array(16).fill(4),
  })),
})
const answers = async (model: string) => (await inferJson(server.url, model, SIMPLE)).status

const OK = { status: 200, text: '' }
const SENT = { config: '{}', 'file:1/model.onnx': base64(zoo.simple()) }

describe('a config', () => {
  test('stands in for the one in the folder, until the model is loaded as it is', async () => {
    const config = JSON.stringify({ maxBatchSize: 4, dynamic_batching: { maxQueueDelayMicroseconds: '100' } })
    expect(await load('simple', { config })).toEqual(OK)
    expect(await configOf('simple')).toMatchObject({
      max_batch_size: 4,
      dynamic_batching: { max_queue_delay_microseconds: 100 },
    })
    expect(await answers('simple')).toBe(200)
    expect(await load('simple')).toEqual(OK)
    expect(await configOf('simple')).toMatchObject({ max_batch_size: 0 })
  })

  test('may be the one that the server gave, with a change', async () => {
    const config = JSON.stringify({ ...(await configOf('simple')), max_batch_size: 0 })
    expect(await load('simple', { config })).toEqual(OK)
  })

  test('that is wrong leaves what serves, and names every setting', async () => {
    const before = await configOf('simple')
    const { status, text } = await load('simple', { config: '{"max_batch_size":"many","modelWarmup":[{}]}' })
    expect(status).toBe(400)
    expect(text).toContain("failed to load 'simple'")
    expect(text).toContain('max_batch_size: is \\"many\\", expected an integer')
    expect(text).toContain('model_warmup.name: is missing')
    expect(await configOf('simple')).toEqual(before)
    expect(await answers('simple')).toBe(200)
  })

  test('that the model contradicts leaves what serves, and its config', async () => {
    const config = '{"max_batch_size":2,"input":[{"name":"OTHER","data_type":"TYPE_FP32","dims":[16]}]}'
    const { status, text } = await load('simple', { config })
    expect([status, text]).toEqual([400, expect.stringContaining('OTHER')])
    expect(await configOf('simple')).toMatchObject({ max_batch_size: 0 })
    expect(await answers('simple')).toBe(200)
    expect(await load('simple')).toEqual(OK)
  })
})

describe('files', () => {
  test('are a model of their own, of which nothing stays', async () => {
    expect(await left()).toEqual([])
    expect(await load('sent', SENT)).toEqual(OK)
    expect(await left()).toEqual([])
    expect(await answers('sent')).toBe(200)
    expect(await load('sent', SENT)).toEqual(OK)
    expect(await unload('sent')).toEqual(OK)
    while ((await index()).some(({ name }) => name === 'sent')) await Bun.sleep(10)
    expect(await answers('sent')).toBe(404)
  })

  test('beside the model are found: external data and labels', async () => {
    const parameters = {
      config:
        '{"output":[{"name":"OUTPUT0","data_type":"TYPE_FP32","dims":[4],"label_filename":"labels.txt"}]}',
      'file:1/model.onnx': base64(zoo.externalData('weights.bin')),
      'file:1/weights.bin': base64(new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer)),
      'file:labels.txt': base64(Buffer.from('ant\nbee\ncat\ndog\n')),
    }
    expect(await load('external', parameters)).toEqual(OK)
    expect(await left()).toEqual([])
    const ask = (how: unknown) =>
      post('/v2/models/external/infer', {
        inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [4], data: [1, 1, 1, 1] }],
        outputs: [{ name: 'OUTPUT0', parameters: how }],
      })
    expect(JSON.parse((await ask({})).text)).toMatchObject({ outputs: [{ data: [2, 3, 4, 5] }] })
    expect((await ask({ classification: 1 })).text).toContain(':3:dog')
    expect(await unload('external')).toEqual(OK)
  })

  test('take the place of a folder, as long as nobody loads that', async () => {
    await writeModel(models, 'both', { onnx: zoo.simple() })
    expect(await load('both')).toEqual(OK)
    expect(await load('both', { config: '{}', 'file:7/model.onnx': SENT['file:1/model.onnx'] })).toEqual(OK)
    const ready = async () =>
      (await index())
        .filter(({ name, state }) => name === 'both' && state === 'READY')
        .map((of) => of.version)
    while ((await ready()).length > 1) await Bun.sleep(10)
    expect(await ready()).toEqual(['7'])
    expect(await load('both')).toEqual(OK)
    while ((await ready()).length > 1) await Bun.sleep(10)
    expect(await ready()).toEqual(['1'])
    await rm(join(models, 'both'), { recursive: true })
  })

  test('that are no model leave what serves; a name that never served is not kept', async () => {
    const broken = { config: '{}', 'file:1/model.onnx': base64(zoo.simple().slice(0, 40)) }
    for (const name of ['simple', 'never']) {
      const { status, text } = await load(name, broken)
      expect([status, text]).toEqual([400, expect.stringContaining(`failed to load '${name}', version 1: `)])
    }
    expect(await answers('simple')).toBe(200)
    expect(await left()).toEqual([])
    expect((await index()).map(({ name }) => name)).not.toContain('never')
    expect(await load('simple')).toEqual(OK)
  })
})

describe('refused with 400, in words', () => {
  const file = (path: string) => ({ config: '{}', [`file:${path}`]: SENT['file:1/model.onnx'] })
  test.each([
    ['a parameter that nobody knows', { confg: '{}' }, 'parameter \\"confg\\" is not supported'],
    ['a config that is no text', { config: {} }, 'parameter \\"config\\" is an object, expected a text'],
    ['a config that is no JSON', { config: '{' }, 'Cannot parse JSON'],
    ['a config that is no object', { config: '[]' }, 'it is no object'],
    ['a config of great depth', { config: `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}` }, 'deep'],
    ['a config of another model', { config: '{"name":"other"}' }, 'expected that of the folder'],
    ['files without a config', { 'file:1/model.onnx': 'AAAA' }, 'needs \\"config\\" beside it'],
    ['what is no base64', { config: '{}', 'file:1/model.onnx': '?' }, 'is no base64'],
    ['base64 that is cut off', { config: '{}', 'file:1/model.onnx': 'AAA' }, 'is no base64'],
    ['a file that is no text', { config: '{}', 'file:1/model.onnx': 1 }, 'expected a text'],
    ['a path upwards', file('../../escaped'), 'has the part'],
    ['an absolute path', file('/escaped'), 'absolute'],
    ['no path', file(''), 'is empty'],
    ['a long name', file(`1/${'x'.repeat(256)}`), '256 bytes, at most 255'],
    ['a file in a file', { ...SENT, 'file:1': '' }, '\\"1\\" is a file'],
    [
      'too many files',
      { config: '{}', ...Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`file:1/${n}`, ''])) },
      '257 files, at most 256',
    ],
    ['no version', file('model.onnx'), 'holds no version'],
  ])('%s', async (_, parameters, says) => {
    const { status, text } = await load('simple', parameters)
    expect([status, text]).toEqual([400, expect.stringContaining(says)])
    expect(await answers('simple')).toBe(200)
    expect(await left()).toEqual([])
    expect(await load('simple')).toEqual(OK)
  })

  test('a name that leads out of the folder', async () => {
    const { status, text } = await load('..%2F..%2Fescaped', SENT)
    expect([status, text]).toEqual([400, expect.stringContaining('the model cannot have that name')])
  })

  test.each([
    ['poll', 'polling is enabled'],
    ['none', 'models.control is'],
  ])('anything in mode %s', async (mode, says) => {
    const other = await createFolder()
    await Bun.write(join(other.path, 'limpet.toml'), `[models]\ncontrol = "${mode}"\n`)
    await writeModel(join(other.path, 'models'), 'simple', { onnx: zoo.simple() })
    const refusing = await startServing(other.path, {
      command: [BINARY, 'serve', '--models', 'models', '--port', '0', '--config', 'limpet.toml'],
    })
    const { status, text } = await load('sent', SENT, refusing)
    expect([status, text]).toEqual([400, expect.stringContaining(`not allowed if ${says}`)])
    expect(await refusing.stop()).toBe(0)
    await other.remove()
  })
})
