/** Bringing models in and out of the compiled binary, by Triton's model control. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { askScale, longToLoad } from '../flow/versions.ts'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { until } from '../kit/until.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
const inModels = (path: string) => join(folder.path, 'models', path)
let server: Running

beforeAll(async () => {
  await Bun.write(inModels('steady/1/model.onnx'), zoo.simple())
  await Bun.write(inModels('changing/1/model.onnx'), zoo.simple())
  server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

async function post(path: string, body?: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    ...(body === undefined ? {} : { body }),
  })
  return { status: response.status, text: await response.text() }
}
const load = (model: string, body?: string) => post(`/v2/repository/models/${model}/load`, body)
const unload = (model: string, body?: string) => post(`/v2/repository/models/${model}/unload`, body)

const REQUEST = JSON.stringify({
  inputs: ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: new Array(16).fill(4),
  })),
})

async function versionOf(model: string): Promise<string> {
  const { status, text } = await inferJson(server.url, model, REQUEST)
  if (status !== 200) return `${status}: ${text}`
  const answer = JSON.parse(text) as { model_version: string; outputs: [{ data: number[] }] }
  return answer.outputs[0].data[0] === 8 ? answer.model_version : `wrong: ${text}`
}

describe('versions', () => {
  test('a new one takes over when the model is loaded again, and goes when its folder has gone', async () => {
    expect(await versionOf('changing')).toBe('1')
    await Bun.write(inModels('changing/2/model.onnx'), zoo.simple())
    expect(await versionOf('changing')).toBe('1')
    expect(await load('changing')).toEqual({ status: 200, text: '' })
    expect(await versionOf('changing')).toBe('2')
    await rm(inModels('changing/2'), { recursive: true })
    expect((await load('changing', '{}')).status).toBe(200)
    expect(await versionOf('changing')).toBe('1')
  })

  test('change twenty times under load, and no request fails', async () => {
    const aside = join(folder.path, 'aside')
    await mkdir(aside)
    await Bun.write(join(aside, '2/model.onnx'), zoo.simple())
    let isDone = false
    const answers = new Map<string, number>()
    const client = async () => {
      while (!isDone) {
        const version = await versionOf('changing')
        answers.set(version, (answers.get(version) ?? 0) + 1)
      }
    }
    const clients = Array.from({ length: 8 }, client)
    for (let change = 0; change < 10; change += 1) {
      await rename(join(aside, '2'), inModels('changing/2'))
      expect((await load('changing')).status).toBe(200)
      expect(await versionOf('changing')).toBe('2')
      await rename(inModels('changing/2'), join(aside, '2'))
      expect((await load('changing')).status).toBe(200)
      expect(await versionOf('changing')).toBe('1')
    }
    isDone = true
    await Promise.all(clients)
    expect([...answers.keys()].sort()).toEqual(['1', '2'])
    expect(Math.min(...answers.values())).toBeGreaterThan(10)
  }, 30_000)

  test('one that cannot be loaded leaves the one that serves, and the answer says why', async () => {
    await Bun.write(inModels('changing/3/model.onnx'), zoo.simple().slice(0, 40))
    const { status, text } = await load('changing')
    expect(status).toBe(400)
    expect(text).toContain("failed to load 'changing', version 3: ")
    expect(await versionOf('changing')).toBe('1')
    await rm(inModels('changing/3'), { recursive: true })
    expect((await load('changing')).status).toBe(200)
  })
})

describe('unloading', () => {
  test('a model answers no more, says so, and can be loaded again; others do not notice', async () => {
    expect(await unload('changing', '{"parameters":{"unload_dependents":false}}')).toEqual({
      status: 200,
      text: '',
    })
    expect((await fetch(`${server.url}/v2/models/changing/ready`)).status).toBe(400)
    expect(await versionOf('changing')).toContain('503: ')
    expect(await versionOf('steady')).toBe('1')
    expect((await load('changing')).status).toBe(200)
    expect(await versionOf('changing')).toBe('1')
  })
})

test('models come, fail to and go thirty times under load, and those who ask another one do not notice', async () => {
  await Bun.write(inModels('coming/1/model.onnx'), zoo.simple())
  await Bun.write(inModels('failing/1/model.onnx'), zoo.simple().slice(0, 40))
  let isDone = false
  const answers = new Map<string, number>()
  const clients = Array.from({ length: 8 }, async () => {
    while (!isDone) {
      const version = await versionOf('steady')
      answers.set(version, (answers.get(version) ?? 0) + 1)
    }
  })
  for (let cycle = 0; cycle < 30; cycle += 1) {
    expect((await load('coming')).status).toBe(200)
    const [answered, failed] = await Promise.all([versionOf('coming'), load('failing')])
    expect([answered, failed.status]).toEqual(['1', 400])
    expect((await unload('coming')).status).toBe(200)
  }
  isDone = true
  await Promise.all(clients)
  expect([...answers.keys()]).toEqual(['1'])
  expect(answers.get('1')).toBeGreaterThan(30)
}, 60_000)

describe('refused with 400, in words', () => {
  test.each([
    ['a model that is not there', () => load('nope'), "failed to load 'nope', there is no folder"],
    ['a name that leads out of the repository', () => load('..%2F..%2Fetc'), 'there is no folder'],
    ['parameters that are no object', () => load('steady', '{"parameters":[]}'), 'expected an object'],
    ['a body that is not JSON', () => load('steady', '{'), 'Cannot parse JSON'],
    ['unloading what is not there', () => unload('nope'), "failed to unload 'nope'"],
    [
      'unload_dependents that is no boolean',
      () => unload('steady', '{"parameters":{"unload_dependents":1}}'),
      'true or false',
    ],
    [
      'an index with "ready" that is no boolean',
      () => post('/v2/repository/index', '{"ready":"yes"}'),
      'true or false',
    ],
  ])('%s', async (_, ask, says) => {
    const { status, text } = await ask()
    expect([status, text]).toEqual([400, expect.stringContaining(says)])
    expect(await versionOf('steady')).toBe('1')
  })
})

test('the index lists what is ready when asked for that, and everything otherwise', async () => {
  await unload('steady')
  const names = async (body: string) =>
    (JSON.parse((await post('/v2/repository/index', body)).text) as { name: string }[]).map(
      ({ name }) => name,
    )
  expect(await names('{"ready":true}')).not.toContain('steady')
  expect(await names('{"ready":false}')).toContain('steady')
  await load('steady')
})

test('asked for another version while it starts with one, it serves the other one', async () => {
  const home = join(folder.path, 'turned')
  for (const { version, files } of [longToLoad(1), longToLoad(2)]) {
    for (const [path, bytes] of Object.entries(files)) await Bun.write(join(home, version, path), bytes)
  }
  await mkdir(join(home, 'models'))
  const link = join(home, 'models/scale')
  await symlink(join(home, '1'), link)
  const unix = join(home, 'serve.sock')
  const starting = startServing(home, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0', '--unix-socket', unix],
  })
  const ask = (path: string) =>
    fetch(`http://localhost/v2/repository/${path}`, { method: 'POST', unix } as RequestInit)
  await until('it loads the first one', async () => {
    const answer = await ask('index').catch(() => undefined)
    return (await answer?.text())?.includes('"LOADING"') || undefined
  })
  await rm(link)
  await symlink(join(home, '2'), link)
  expect((await ask('models/scale/load')).status).toBe(200)
  const started = await starting
  expect(await askScale(started.url)).toBe('2 times 2')
  expect(await started.stop()).toBe(0)
})
