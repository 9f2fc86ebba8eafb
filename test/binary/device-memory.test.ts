/** The compiled binary on a device with memory of its own: batches, a CUDA graph, and what cannot be one. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
afterAll(folder.remove)

const GPU = 'CUDAExecutionProvider'
const MODELS = {
  batched: 'max_batch_size = 4\nbatching = { queue_delay_us_max = 2000 }',
  graph: `max_batch_size = 2
[session]
free_dimensions = { batch = 2 }
gpu = { cuda_graph = true }`,
  open: '[session.gpu]\ncuda_graph = true',
}

describe.skipIf(WITHOUT_COMPILER !== '')(`on a device${WITHOUT_COMPILER}`, () => {
  let server: Running
  beforeAll(async () => {
    const path = await buildFakeProvider(here('gpu'), { memory: 'own and pinned', name: GPU })
    const libraries = `provider_libraries = [{ name = "gpu", path = "${path}" }]`
    await writeFile(here('limpet.toml'), `[runtime]\nproviders = ["gpu", "cpu"]\n${libraries}\n`)
    for (const [name, config] of Object.entries(MODELS))
      await writeModel(here('models'), name, { onnx: zoo.simple(), config })
    const args = ['--models', here('models'), '--port', '0', '--config', here('limpet.toml')]
    const env = { LIMPET_FAKE_RECORD: here('record') }
    server = await startServing(folder.path, { command: [BINARY, 'serve', ...args], env })
  })
  afterAll(() => server?.stop('SIGKILL'))

  async function add(model: string, a: number, b: number): Promise<number[]> {
    const row = (name: string, value: number) =>
      tensorOf(name, 'INT32', { shape: [1, 16], data: new Int32Array(16).fill(value) })
    const outputs = await inferBinary(server.url, model, [row('INPUT0', a), row('INPUT1', b)])
    return ['OUTPUT0', 'OUTPUT1'].map((name) => {
      const values = new Int32Array(outputs.get(name)?.bytes.slice().buffer ?? new ArrayBuffer(0))
      expect(new Set(values).size).toBe(1)
      return values[0] ?? Number.NaN
    })
  }

  test.each(['batched', 'graph'])('%s: many at once each get their own answer', async (model) => {
    const asked = Array.from({ length: 40 }, (_, index) => index)
    const answers = await Promise.all(asked.map((index) => add(model, index, 7)))
    expect(answers).toEqual(asked.map((index) => [index + 7, index - 7]))
  })

  test('nothing comes to the device, or from it, by way of memory that it cannot read itself', async () => {
    await add('batched', 1, 2)
    const lines = (await readFile(here('record'), 'utf8')).split('\n').filter((line) => line.includes('>'))
    expect([...new Set(lines)].sort()).toEqual(['device>pinned 2', 'pinned>device 2'])
  })

  test('says where the nodes are, and why a model cannot be played again', async () => {
    const metadata = await (await fetch(`${server.url}/v2/models/graph`)).json()
    expect(metadata).toMatchObject({
      properties: {
        placement: [
          { provider: GPU, nodes: 2, operators: ['Add', 'Sub'] },
          { provider: 'CPUExecutionProvider', nodes: 0, operators: [] },
        ],
      },
    })
    const index = await (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).json()
    expect(index).toContainEqual({
      name: 'open',
      version: '1',
      state: 'UNAVAILABLE',
      reason: expect.stringContaining('"INPUT0" is INT32 [-1,16], and has to be numbers of one shape'),
    })
    expect(await server.stop()).toBe(0)
  })
})
