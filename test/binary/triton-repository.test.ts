/** A model repository as Triton has it, served by the compiled binary as it is. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
let server: Running

const SIMPLE = `
# As a person would have written it for Triton.
name: "simple"
platform: "onnxruntime_onnx"
max_batch_size: 8
default_model_filename: "net.onnx"
input [
  {
    name: "INPUT0"
    data_type: TYPE_INT32
    dims: [ 16 ]
  },
  {
    name: "INPUT1"
    data_type: TYPE_INT32
    dims: [ 16 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_INT32
    dims: [ 16 ]
    label_filename: "labels.txt"
  },
  {
    name: "OUTPUT1"
    data_type: TYPE_INT32
    dims: [ 16 ]
  }
]
dynamic_batching { max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 kind: KIND_CPU } ]
version_policy: { specific { versions: [ 1, 3 ] } }
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
`

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  'simple/config.pbtxt': SIMPLE,
  'simple/labels.txt': 'one\ntwo\n',
  'simple/1/net.onnx': zoo.simple(),
  'simple/2/net.onnx': zoo.simple(),
  'simple/3/net.onnx': zoo.simple(),
  'simple/warmup/INPUT0': 'no version',
  'plain/1/model.onnx': zoo.simple(),
  'folder/config.pbtxt': '',
  'folder/1/model.onnx/model.onnx': zoo.simple(),
  'impossible/config.pbtxt': 'backend: "python"\nmodel_operations { }\nmax_batch_sizes: 8\n',
  'impossible/1/model.onnx': zoo.simple(),
  // As in the quickstart: clients send an image, the model wants a batch of one in front.
  'reshaped/config.pbtxt': `
    name: "reshaped"
    platform: "onnxruntime_onnx"
    max_batch_size : 0
    input [ { name: "INPUT0" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 2, 2 ] reshape { shape: [ 1, 3, 2, 2 ] } } ]
    output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 12 ] reshape { shape: [ 1, 3, 2, 2 ] } } ]`,
  'reshaped/1/model.onnx': zoo.identity('FLOAT', [1, 3, 2, 2]),
  'narrowed/config.pbtxt': 'max_batch_size: 4 input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 3 ] }',
  'narrowed/1/model.onnx': zoo.identity('FLOAT', ['batch', 'n']),
  'broken/config.pbtxt': 'input [\n  { name: "INPUT0" data_type: TYPE_INT32 dims [ 16 ] }\n]',
  'broken/1/model.onnx': zoo.simple(),
  'both/config.pbtxt': '',
  'both/config.toml': '',
  'both/1/model.onnx': zoo.simple(),
  'mistaken/config.pbtxt': `
    input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1, 16 ] }
    input { name: "INPUT9" data_type: TYPE_INT32 dims: [ -1, 16 ] }
    output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ -1, 8 ] }`,
  'mistaken/1/model.onnx': zoo.simple(),
}

beforeAll(async () => {
  for (const [path, content] of Object.entries(FILES))
    await Bun.write(join(folder.path, 'models', path), content)
  server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

async function ask(path: string, method = 'GET'): Promise<unknown> {
  return await (await fetch(`${server.url}/v2/${path}`, { method })).json()
}

const request = (rows: number) =>
  JSON.stringify({
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      datatype: 'INT32',
      shape: [rows, 16],
      data: new Array(16 * rows).fill(4),
    })),
  })

test('the versions of the policy are served, from the file that is named', async () => {
  const index = (await ask('repository/index', 'POST')) as { name: string; version: string; state: string }[]
  const ready = index
    .filter(({ state }) => state === 'READY')
    .map(({ name, version }) => `${name}/${version}`)
  expect(ready).toEqual(['folder/1', 'narrowed/1', 'plain/1', 'reshaped/1', 'simple/1', 'simple/3'])
  for (const model of ['simple', 'simple/versions/1', 'folder', 'plain']) {
    const { status, text } = await inferJson(server.url, model, request(2))
    expect([model, status]).toEqual([model, 200])
    expect((JSON.parse(text) as { outputs: [{ data: number[] }] }).outputs[0].data).toEqual(
      new Array(32).fill(8),
    )
  }
})

test('shapes are those of the config: clients send them, and the model gets its own', async () => {
  const data = Array.from({ length: 12 }, (_, index) => index / 2)
  const body = (shape: number[]) =>
    JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape, data }] })
  const { text } = await inferJson(server.url, 'reshaped', body([3, 2, 2]))
  expect(JSON.parse(text).outputs).toEqual([{ name: 'OUTPUT0', datatype: 'FP32', shape: [12], data }])
  const refused = await inferJson(server.url, 'reshaped', body([1, 3, 2, 2]))
  expect(refused.status).toBe(400)
  expect(refused.text).toContain('\\"INPUT0\\" is FP32 [1,3,2,2], expected FP32 [3,2,2]')
  expect(await ask('models/reshaped')).toMatchObject({
    inputs: [{ name: 'INPUT0', shape: [3, 2, 2] }],
    outputs: [{ name: 'OUTPUT0', shape: [12] }],
  })
  expect(await ask('models/reshaped/config')).toMatchObject({
    input: [{ dims: [3, 2, 2], reshape: { shape: [1, 3, 2, 2] } }],
    output: [{ dims: [12], reshape: { shape: [1, 3, 2, 2] } }],
  })
})

test('what a config fixes is fixed, also where the model leaves it open', async () => {
  const body = (shape: number[], size: number) =>
    JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape, data: new Array(size).fill(1) }] })
  expect((await inferJson(server.url, 'narrowed', body([2, 3], 6))).status).toBe(200)
  const refused = await inferJson(server.url, 'narrowed', body([2, 4], 8))
  expect(refused.status).toBe(400)
  expect(refused.text).toContain('expected FP32 [batch,3]')
  expect(await ask('models/narrowed')).toMatchObject({ inputs: [{ name: 'INPUT0', shape: [-1, 3] }] })
})

test('batches are bounded as the config says', async () => {
  expect((await inferJson(server.url, 'simple', request(8))).status).toBe(200)
  const { status, text } = await inferJson(server.url, 'simple', request(9))
  expect(status).toBe(400)
  expect(text).toContain('batch-size must be <= 8')
})

test('the labels are those of the file beside the config', async () => {
  const outputs = [{ name: 'OUTPUT0', parameters: { classification: 1 } }]
  const body = JSON.stringify({ ...(JSON.parse(request(1)) as object), outputs })
  const { text } = await inferJson(server.url, 'simple', body)
  expect((JSON.parse(text) as { outputs: [{ data: string[] }] }).outputs[0].data).toEqual(['8:0:one'])
})

describe('the config is answered', () => {
  test('as the file says', async () => {
    expect(await ask('models/simple/config')).toMatchObject({
      name: 'simple',
      platform: 'onnxruntime_onnx',
      max_batch_size: 8,
      version_policy: { specific: { versions: [1, 3] } },
      input: [
        { name: 'INPUT0', data_type: 'TYPE_INT32', dims: [16] },
        { name: 'INPUT1', data_type: 'TYPE_INT32', dims: [16] },
      ],
      output: [{ name: 'OUTPUT0', label_filename: 'labels.txt' }, { name: 'OUTPUT1' }],
      dynamic_batching: { max_queue_delay_microseconds: 100 },
      instance_group: [{ kind: 'KIND_CPU', count: 2 }],
      default_model_filename: 'net.onnx',
    })
  })

  test('completed from the model where there is none', async () => {
    const config = (await ask('models/plain/versions/1/config')) as object
    expect(config).toMatchObject({ max_batch_size: 0, input: [{ dims: [-1, 16] }, { dims: [-1, 16] }] })
    expect(config).not.toHaveProperty('dynamic_batching')
  })

  test('with the dims that the metadata have after the batch', async () => {
    for (const model of ['simple', 'plain', 'folder']) {
      const config = (await ask(`models/${model}/config`)) as Config
      const metadata = (await ask(`models/${model}`)) as Metadata
      const batch = config.max_batch_size > 0 ? [-1] : []
      expect(config.input.map(({ dims }) => [...batch, ...dims])).toEqual(
        metadata.inputs.map(({ shape }) => shape),
      )
    }
  })
})

interface Config {
  readonly max_batch_size: number
  readonly input: readonly { readonly dims: number[] }[]
}

interface Metadata {
  readonly inputs: readonly { readonly shape: number[] }[]
}

test.each([
  [
    'impossible',
    [
      'config.pbtxt": line 1: backend: is "python", expected "onnxruntime"',
      'line 2: model_operations: is not supported',
      'line 3: max_batch_sizes: is unknown',
    ],
  ],
  ['broken', ['config.pbtxt" line 2 column 49: there is "16", expected ":" and a value, or "{"']],
  ['both', ['holds config.toml and config.pbtxt, expected one of them']],
  [
    'mistaken',
    [
      'input "INPUT0" is FP32 [-1,16] in the config, INT32 [batch,16] in the model',
      'input "INPUT9" is in the config, the model has "INPUT0", "INPUT1"',
      'output "OUTPUT0" is INT32 [-1,8] in the config, INT32 [batch,16] in the model',
    ],
  ],
])('%s is not served, and the index says all that is wrong', async (model, reasons) => {
  const index = (await ask('repository/index', 'POST')) as { name: string; state: string; reason: string }[]
  const entry = index.find(({ name }) => name === model)
  expect(entry?.state).toBe('UNAVAILABLE')
  for (const reason of reasons) expect(entry?.reason).toContain(reason)
})
