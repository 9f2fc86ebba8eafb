/** Kept answers, by the compiled binary: what they spare, what they count, and that they end with the version. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
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
import { encodeBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const models = join(folder.path, 'models')
const config = join(folder.path, 'limpet.toml')
let server: Running

beforeAll(async () => {
  await Bun.write(config, '[inference]\ncache_bytes_max = 20_000\n')
  await writeModel(models, 'cached', { onnx: zoo.simple(), config: 'response_cache = true' })
  await writeModel(models, 'plain', { onnx: zoo.simple() })
  await Bun.write(join(models, 'stock', '1', 'model.onnx'), zoo.identity('FLOAT'))
  await Bun.write(join(models, 'stock', 'config.pbtxt'), 'response_cache { enable: true }')
  const command = [BINARY, 'serve', '--models', models, '--port', '0', '--config', config]
  server = await startServing(folder.path, { command })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const get = async (path: string) => (await (await fetch(`${server.url}${path}`)).json()) as never
const post = (path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, { method: 'POST', body, headers })

interface Counts {
  readonly inference_count: number
  readonly execution_count: number
  readonly inference_stats: Readonly<Record<string, { readonly count: number; readonly ns: number }>>
}

async function statistics(model: string): Promise<Counts> {
  const { model_stats } = (await get(`/v2/models/${model}/stats`)) as { model_stats: Counts[] }
  const [counts] = model_stats
  if (counts === undefined) throw new Error(`${model} has no statistics`)
  return counts
}

const request = (first: number) => {
  const data = new Int32Array(16).fill(first)
  const inputs = ['INPUT0', 'INPUT1'].map((name) => tensorOf(name, 'INT32', { shape: [1, 16], data }))
  return encodeBinary(inputs)
}

describe('a request that was answered before', () => {
  test('gets the same bytes, in binary and in JSON, without a run', async () => {
    const answers: Buffer[] = []
    for (let time = 0; time < 3; time += 1) {
      const { body, headers } = request(7)
      answers.push(Buffer.from(await (await post('/v2/models/cached/infer', body, headers)).arrayBuffer()))
    }
    expect(answers[0]?.equals(answers[1] as Buffer)).toBe(true)
    expect(answers[0]?.equals(answers[2] as Buffer)).toBe(true)
    const { body, headers } = request(7)
    const plain = Buffer.from(await (await post('/v2/models/plain/infer', body, headers)).arrayBuffer())
    expect(answers[2]?.toString('latin1').replaceAll('cached', 'plain')).toBe(plain.toString('latin1'))

    const data = new Array(16).fill(7)
    const inputs = ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16], data }))
    const json = await (await post('/v2/models/cached/infer', JSON.stringify({ inputs }))).json()
    expect(json).toMatchObject({
      outputs: [{ data: new Array(16).fill(14) }, { data: new Array(16).fill(0) }],
    })

    const counts = await statistics('cached')
    const { success, queue, cache_hit, cache_miss, compute_input, compute_infer, compute_output } =
      counts.inference_stats
    expect([counts.inference_count, counts.execution_count]).toEqual([1, 1])
    // JSON says the same as the binary request did: the tensors are what counts.
    expect([success, queue, cache_hit, cache_miss].map((sum) => sum?.count)).toEqual([4, 4, 3, 1])
    expect([compute_input, compute_infer, compute_output].map((sum) => sum?.count)).toEqual([1, 1, 1])
    for (const sum of [success, cache_hit, cache_miss]) expect(sum?.ns).toBeGreaterThan(0)
  })

  test('is run where the model does not keep its answers', async () => {
    const before = await statistics('plain')
    for (let time = 0; time < 2; time += 1) {
      const { body, headers } = request(9)
      await (await post('/v2/models/plain/infer', body, headers)).arrayBuffer()
    }
    const after = await statistics('plain')
    expect(after.execution_count).toBe(before.execution_count + 2)
    expect(after.inference_stats['cache_miss']).toEqual({ count: 0, ns: 0 })
  })

  test('is run again after a reload, and answered as the version is now', async () => {
    const path = join(models, 'turning', '1', 'model.onnx')
    await writeModel(models, 'turning', { onnx: zoo.optionalInput(0.5), config: 'response_cache = true' })
    const infer = async () => {
      const input = { name: 'INPUT0', datatype: 'FP32', shape: [1], data: [1] }
      const answer = await post('/v2/models/turning/infer', JSON.stringify({ inputs: [input] }))
      return ((await answer.json()) as { outputs: { data: number[] }[] }).outputs[0]?.data
    }
    expect((await post('/v2/repository/models/turning/load', '{}')).status).toBe(200)
    expect([await infer(), await infer()]).toEqual([[1.5], [1.5]])
    await Bun.write(path, zoo.optionalInput(2))
    expect((await post('/v2/repository/models/turning/load', '{}')).status).toBe(200)
    expect([await infer(), await infer()]).toEqual([[3], [3]])
    expect((await statistics('turning')).execution_count).toBe(1)
  })
})

test('the bound holds over all models, and metrics say what became of it', async () => {
  for (let value = 100; value < 140; value += 1) {
    const { body, headers } = request(value)
    expect((await post('/v2/models/cached/infer', body, headers)).status).toBe(200)
  }
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1])
  expect(value('limpet_response_cache_bytes')).toBeLessThanOrEqual(20_000)
  expect(value('limpet_response_cache_bytes')).toBeGreaterThan(15_000)
  expect(value('limpet_response_cache_evictions_total')).toBeGreaterThan(20)
  const labels = '{model="cached",version="1"}'
  const counts = (await statistics('cached')).inference_stats
  expect(value(`nv_cache_num_hits_per_model${labels}`)).toBe(counts['cache_hit']?.count as number)
  expect(value(`nv_cache_num_misses_per_model${labels}`)).toBe(counts['cache_miss']?.count as number)
  for (const kind of ['hit', 'miss']) {
    const micros = Math.round((counts[`cache_${kind}`]?.ns ?? 0) / 1000)
    expect(value(`nv_cache_${kind}_duration_per_model${labels}`)).toBe(micros)
  }
  expect(metrics).not.toContain('nv_cache_num_hits_per_model{model="plain"')
})

test('the config says so for the models that have it, in TOML and in pbtxt', async () => {
  const configs = await Promise.all(
    ['cached', 'stock', 'plain'].map((model) => get(`/v2/models/${model}/config`) as Promise<object>),
  )
  expect(configs.map((each) => 'response_cache' in each)).toEqual([true, true, false])
})

test('where the device keeps no answers, log and doctor say so', async () => {
  const other = await createFolder()
  const alone = await startServing(other.path, {
    command: [BINARY, 'serve', '--models', models, '--port', '0'],
  })
  expect(await alone.stop()).toBe(0)
  expect(await readLog(other.path)).toContain('"event":"inference.response_cache_off"')
  const doctor = await runToEnd(other.path, { command: [BINARY, 'doctor', '--models', models] })
  expect(doctor.stdout).toContain(
    'note   cached 1: response_cache is true, but the device keeps no answers: set inference.cache_bytes_max above 0',
  )
  expect(doctor.exitCode).toBe(0)
  await other.remove()
})
