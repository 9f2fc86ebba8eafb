/** Names for versions, like "stable" and "canary", in the compiled binary. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const inModels = (path: string) => join(folder.path, 'models', path)
const LABELS = (stable: number, canary: number) =>
  `version_labels [ { key: "stable" value: ${stable} }, { key: "canary" value: ${canary} } ]`
let server: Running

beforeAll(async () => {
  for (const version of ['1', '2', '3']) await Bun.write(inModels(`m/${version}/model.onnx`), zoo.simple())
  await Bun.write(inModels('m/config.pbtxt'), LABELS(1, 2))
  await Bun.write(inModels('plain/1/model.onnx'), zoo.simple())
  await Bun.write(inModels('plain/stable/model.onnx'), zoo.simple())
  await Bun.write(
    inModels('plain/config.toml'),
    'version_policy = "all"\nversion_labels = { stable = "1", best = "1" }\n',
  )
  server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const INPUTS = ['INPUT0', 'INPUT1'].map((name) => ({
  name,
  datatype: 'INT32',
  shape: [1, 16],
  data: new Array(16).fill(4),
}))

async function post(path: string, body: unknown = {}): Promise<{ status: number; text: string }> {
  const response = await fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  return { status: response.status, text: await response.text() }
}

/** Which version answers for it, or the status. */
async function versionOf(model: string, version: string): Promise<string> {
  const { status, text } = await post(`/v2/models/${model}/versions/${version}/infer`, { inputs: INPUTS })
  return status === 200 ? (JSON.parse(text) as { model_version: string }).model_version : `${status}: ${text}`
}

async function metadata(path: string) {
  return (await (await fetch(`${server.url}/v2/models/${path}`)).json()) as {
    versions: string[]
    properties: { labels?: unknown }
  }
}

const load = (model: string) => post(`/v2/repository/models/${model}/load`)
const label = (model: string, labels: unknown) => post(`/v2/repository/models/${model}/labels`, { labels })

test('stands for its version on every route, beside the one that the policy chooses', async () => {
  expect(await Promise.all(['stable', 'canary', '3'].map((name) => versionOf('m', name)))).toEqual([
    '1',
    '2',
    '3',
  ])
  expect((await metadata('m')).properties.labels).toEqual({ canary: '2', stable: '1' })
  expect((await metadata('m/versions/stable')).versions).toEqual(['1'])
  for (const route of ['ready', 'config', 'stats']) {
    expect((await fetch(`${server.url}/v2/models/m/versions/canary/${route}`)).status).toBe(200)
  }
  expect(await versionOf('m', 'nightly')).toContain('404: ')
  expect([await versionOf('plain', 'stable'), await versionOf('plain', 'best')]).toEqual(['stable', '1'])
})

test('moves while the server runs, to a version that is ready and to no other', async () => {
  expect(await label('m', { stable: '3', canary: null })).toEqual({
    status: 200,
    text: '{"labels":{"stable":"3"}}',
  })
  expect(await versionOf('m', 'stable')).toBe('3')
  const refused = await label('m', { best: '3', stable: '9' })
  expect([refused.status, refused.text]).toEqual([
    400,
    expect.stringContaining('Cannot point label \\"stable\\" of \\"m\\" at version 9'),
  ])
  expect((await metadata('m')).properties.labels).toEqual({ stable: '3' })
  expect((await label('nope', { a: '1' })).status).toBe(404)
  for (const wrong of [{ a: 1 }, { 'a/b': '1' }, [], 'stable'])
    expect((await label('m', wrong)).status).toBe(400)
  expect((await post('/v2/repository/models/m/labels', { labels: {}, more: 1 })).status).toBe(400)
  // What the config says holds again when the model is loaded anew.
  expect((await load('m')).status).toBe(200)
  expect((await metadata('m')).properties.labels).toEqual({ canary: '2', stable: '1' })
})

test('that the config points at a version that cannot be ready stays where it was, and the load says so', async () => {
  await Bun.write(inModels('m/4/model.onnx'), zoo.simple().slice(0, 40))
  await Bun.write(inModels('m/config.pbtxt'), LABELS(1, 4))
  const { status, text } = await load('m')
  expect([status, text]).toEqual([
    400,
    expect.stringContaining('Cannot point label \\"canary\\" of \\"m\\" at version 4'),
  ])
  expect([await versionOf('m', 'stable'), await versionOf('m', 'canary')]).toEqual(['1', '2'])
  await rm(inModels('m/4'), { recursive: true })
  expect((await load('m')).text).toContain('version_labels names it, there is no such folder')
  expect(await versionOf('m', 'canary')).toBe('2')
  expect((await post('/v2/repository/index')).text).toContain('Cannot point label')
})

test('moves with the versions under load: no request fails, and after it is ready none is answered by the old one', async () => {
  let isDone = false
  let isMoved = false
  const others: string[] = []
  const clients = Array.from({ length: 4 }, async () => {
    while (!isDone) {
      // Answers may be read in another order than they were given: what counts is when the request began.
      const expected = isMoved ? ['2', '3'] : ['1', '2', '3']
      const version = await versionOf('m', 'stable')
      if (!expected.includes(version)) others.push(version)
    }
  })
  await Bun.write(inModels('m/config.pbtxt'), LABELS(2, 2))
  await load('m')
  isMoved = true
  for (let change = 0; change < 10; change += 1) {
    const [from, to] = change % 2 === 0 ? [2, 3] : [3, 2]
    await Bun.write(
      inModels('m/config.pbtxt'),
      `${LABELS(to, to)} version_policy { specific { versions: [ ${to} ] } }`,
    )
    expect((await load('m')).status).toBe(200)
    expect(await versionOf('m', 'stable')).toBe(String(to))
    expect(await versionOf('m', String(from))).not.toBe(String(from))
  }
  isDone = true
  await Promise.all(clients)
  expect(others).toEqual([])
}, 30_000)
