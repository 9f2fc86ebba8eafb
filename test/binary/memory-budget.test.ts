/** More models than memory: the compiled binary with a budget, loading on demand, and swaps one after the other. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, readLog, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const inModels = (path: string) => join(folder.path, 'models', path)
/** Four megabytes of weights; with what a run takes, two fit into the budget and three do not. */
const WEIGHTS = 2 ** 20
const BUDGET = 12_000_000
let server: Running

beforeAll(async () => {
  const weights = zoo.table(WEIGHTS)
  for (const name of ['pinned', 'b', 'c', 'plain']) await Bun.write(inModels(`${name}/1/model.onnx`), weights)
  await Bun.write(inModels('pinned/config.toml'), 'pinned = true\n')
  await Bun.write(inModels('plain/config.toml'), 'on_demand = true\n')
  for (const name of ['b', 'c'])
    await Bun.write(inModels(`${name}/config.pbtxt`), parameter('on_demand', 'true'))
  await Bun.write(inModels('swapped/1/model.onnx'), zoo.table(64))
  await Bun.write(inModels('swapped/config.toml'), 'swap = "drain"\npinned = true\n')
  const config = `[models]\nmemory_bytes_max = ${BUDGET}\nload_wait_seconds_max = 20\n`
  await Bun.write(join(folder.path, 'limpet.toml'), config)
  const args = ['--models', 'models', '--config', 'limpet.toml', '--port', '0']
  server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const parameter = (key: string, value: string) =>
  `parameters { key: "limpet.${key}" value { string_value: "${value}" } }\n`

async function post(path: string, body = '{}'): Promise<{ status: number; text: string }> {
  const response = await fetch(`${server.url}${path}`, { method: 'POST', body })
  return { status: response.status, text: await response.text() }
}

const load = (model: string) => post(`/v2/repository/models/${model}/load`)

/** What stands at a place of the model's table, and which version says so. */
async function ask(model: string, place = 7): Promise<string> {
  const body = `{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[${place}]}]}`
  const { status, text } = await post(`/v2/models/${model}/infer`, body)
  if (status !== 200) return `${status}: ${text}`
  const answer = JSON.parse(text) as { model_version: string; outputs: [{ data: [number] }] }
  return `version ${answer.model_version}: ${answer.outputs[0].data[0]}`
}

async function reasonOf(model: string): Promise<string> {
  const index = JSON.parse((await post('/v2/repository/index')).text) as { name: string; reason?: string }[]
  return index.find(({ name }) => name === model)?.reason ?? ''
}

async function metric(line: RegExp): Promise<number> {
  return Number(line.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1])
}

describe('a budget of two models', () => {
  test('loads what is on demand at the first request, and lets go of the one that was used least recently', async () => {
    expect(await reasonOf('b')).toBe('not loaded yet: the first request for it does that')
    expect((await fetch(`${server.url}/v2/models/b/ready`)).status).toBe(400)
    expect(await ask('b')).toBe('version 1: 7')
    expect((await fetch(`${server.url}/v2/models/b/ready`)).status).toBe(200)
    expect(await ask('c', 9)).toBe('version 1: 9')
    expect(await reasonOf('b')).toMatch(/^evicted: "c\/1" needed 4\d{6} of 12000000 bytes/)
    expect(await ask('b')).toBe('version 1: 7')
    expect(await ask('pinned')).toBe('version 1: 7')
    expect(await readLog(folder.path)).toContain('"event":"inference.lane_evicted"')
    expect(await metric(/limpet_memory_budget_bytes (\d+)/)).toBe(BUDGET)
    expect(await metric(/limpet_lane_evictions_total (\d+)/)).toBe(2)
    expect(await metric(/limpet_lane_loads_on_demand_total (\d+)/)).toBe(3)
    expect(await metric(/nv_model_load_duration_secs\{model="b",version="1"\} ([\d.]+)/)).toBeGreaterThan(0)
  })

  test('keeps its bound and answers everyone while three models want the place of one', async () => {
    const models = ['b', 'c', 'plain']
    let isDone = false
    let mostBytes = 0
    const watcher = (async () => {
      while (!isDone) {
        const text = await (await fetch(`${server.url}/metrics`)).text()
        const bytes = [...text.matchAll(/limpet_lane_memory_bytes\{[^}]*\} (\d+)/g)]
        mostBytes = Math.max(
          mostBytes,
          bytes.reduce((sum, [, of]) => sum + Number(of), 0),
        )
      }
    })()
    const answers = new Set<string>()
    const client = async (model: string, place: number) => {
      for (let count = 0; count < 4; count += 1) {
        answers.add(await ask(model, place))
        expect(await ask('pinned', place)).toBe(`version 1: ${place}`)
      }
    }
    await Promise.all([...models, ...models].map((model, index) => client(model, index % 3)))
    isDone = true
    await watcher
    expect([...answers].sort()).toEqual(['version 1: 0', 'version 1: 1', 'version 1: 2'])
    expect(mostBytes).toBeLessThanOrEqual(BUDGET)
    expect(await metric(/limpet_requests_awaiting_load (\d+)/)).toBe(0)
  }, 60_000)

  test('refuses a model that is larger than all of it, by name, and serves on', async () => {
    await Bun.write(inModels('large/1/model.onnx'), zoo.table(WEIGHTS * 4))
    const { status, text } = await load('large')
    expect([status, text]).toEqual([
      400,
      expect.stringMatching(
        /Cannot load \\"large\/1\\": it needs 16\d{6} bytes, at most 12000000 \(models\.memory_bytes_max\)/,
      ),
    ])
    expect(await ask('pinned')).toBe('version 1: 7')
  })

  test('does not load again what was unloaded by hand', async () => {
    expect((await post('/v2/repository/models/b/unload')).status).toBe(200)
    expect(await ask('b')).toContain('503: ')
    expect((await load('b')).status).toBe(200)
    expect(await ask('b')).toBe('version 1: 7')
  })
})

describe('a version that comes after the old one', () => {
  const aside = join(folder.path, 'aside')

  test('makes no request fail, and none is answered by the old one once it is ready', async () => {
    await mkdir(aside)
    await Bun.write(join(aside, '2/model.onnx'), zoo.table(64))
    let isDone = false
    const answers = new Map<string, number>()
    const client = async () => {
      while (!isDone) {
        const answer = await ask('swapped')
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
    }
    const clients = Array.from({ length: 4 }, client)
    for (let change = 0; change < 10; change += 1) {
      await rename(join(aside, '2'), inModels('swapped/2'))
      expect(await load('swapped')).toEqual({ status: 200, text: '' })
      expect(await ask('swapped')).toBe('version 2: 7')
      await rename(inModels('swapped/2'), join(aside, '2'))
      expect(await load('swapped')).toEqual({ status: 200, text: '' })
      expect(await ask('swapped')).toBe('version 1: 7')
    }
    isDone = true
    await Promise.all(clients)
    expect([...answers.keys()].sort()).toEqual(['version 1: 7', 'version 2: 7'])
    expect(await metric(/limpet_swap_duration_seconds_count\{way="drain"\} (\d+)/)).toBe(20)
    expect(await readLog(folder.path)).toContain('"why":"swap = \\"drain\\""')
  }, 60_000)

  test('and cannot be loaded brings the old one back, and nobody notices', async () => {
    let isDone = false
    const answers = new Set<string>()
    const clients = Array.from({ length: 4 }, async () => {
      while (!isDone) answers.add(await ask('swapped'))
    })
    await Bun.write(inModels('swapped/3/model.onnx'), zoo.table(64).slice(0, 60))
    for (let time = 0; time < 5; time += 1) {
      const { status, text } = await load('swapped')
      expect([status, text]).toEqual([400, expect.stringContaining('version 3: Cannot load')])
    }
    isDone = true
    await Promise.all(clients)
    expect([...answers]).toEqual(['version 1: 7'])
    expect(await metric(/limpet_lane_restores_total (\d+)/)).toBe(5)
    await rm(inModels('swapped/3'), { recursive: true })
    expect((await load('swapped')).status).toBe(200)
  }, 60_000)
})
