/** Models that are warmed up before they are ready, in the compiled binary. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const inModels = (path: string) => join(folder.path, 'models', path)
let server: Running

const int64 = (value: number) => new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)
const warmUp = (dims: string) => `model_warmup {
  name: "place" count: 2 inputs { key: "INPUT0" value { data_type: TYPE_INT64 dims: ${dims} input_data_file: "place" } }
}`

beforeAll(async () => {
  await Bun.write(inModels('table/1/model.onnx'), zoo.failsOnIndex())
  await Bun.write(inModels('table/config.pbtxt'), warmUp('[ 1 ]'))
  await Bun.write(inModels('table/warmup/place'), int64(2))
  await Bun.write(inModels('simple/1/model.onnx'), zoo.simple())
  await Bun.write(inModels('simple/config.toml'), 'warmup = 3\nmax_batch_size = 4\n')
  await Bun.write(inModels('slow/1/model.onnx'), zoo.slow())
  await Bun.write(inModels('slow/config.pbtxt'), warmUp('[ 1 ]'))
  await Bun.write(inModels('slow/warmup/place'), int64(1))
  await Bun.write(join(folder.path, 'limpet.toml'), '[models]\nwarmup_seconds_max = 0.5\n')
  const args = ['--models', 'models', '--config', 'limpet.toml', '--port', '0']
  server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

async function load(model: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${server.url}/v2/repository/models/${model}/load`, { method: 'POST' })
  return { status: response.status, text: await response.text() }
}

async function ask(model: string, index: number): Promise<number> {
  const body = `{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[${index}]}]}`
  return (await fetch(`${server.url}/v2/models/${model}/infer`, { method: 'POST', body })).status
}

test('what runs well on its samples is served, and its statistics begin with the first request', async () => {
  for (const model of ['table', 'simple', 'slow']) {
    expect((await fetch(`${server.url}/v2/models/${model}/ready`)).status).toBe(200)
    const { model_stats } = (await (await fetch(`${server.url}/v2/models/${model}/stats`)).json()) as {
      model_stats: [{ execution_count: number }]
    }
    expect(model_stats[0].execution_count).toBe(0)
  }
  const config = (await (await fetch(`${server.url}/v2/models/simple/config`)).json()) as {
    model_warmup: unknown
  }
  expect(config.model_warmup).toMatchObject([
    { name: 'zeros', count: 3, inputs: { INPUT0: { zero_data: true } } },
  ])
})

test('a sample that fails makes the load fail by its name, and what was loaded before goes on serving', async () => {
  await Bun.write(inModels('table/warmup/place'), int64(7))
  const { status, text } = await load('table')
  expect([status, text]).toEqual([400, expect.stringContaining('with the sample \\"place\\": ')])
  expect(await ask('table', 1)).toBe(200)
  await Bun.write(inModels('table/warmup/place'), new Uint8Array(9))
  expect((await load('table')).text).toContain('has 9 bytes, INT64 [1] has 8')
  await Bun.file(inModels('table/warmup/place')).delete()
  expect((await load('table')).text).toContain('for the warm-up sample \\"place\\"')
  expect(await ask('table', 1)).toBe(200)
  await Bun.write(inModels('table/warmup/place'), int64(0))
  expect(await load('table')).toEqual({ status: 200, text: '' })
})

test('a sample that takes too long makes the load fail too', async () => {
  await Bun.write(inModels('slow/warmup/place'), int64(100_000_000))
  const { status, text } = await load('slow')
  expect([status, text]).toEqual([
    400,
    expect.stringContaining('it took more than 500 ms (models.warmup_seconds_max)'),
  ])
  expect(await ask('slow', 1)).toBe(200)
}, 30_000)
