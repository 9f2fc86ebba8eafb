/** Ensembles over real models, by the compiled binary: the same answers as asking the steps one after the other. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeImage } from '../../src/client/image-file.ts'
import { readSource } from '../../src/client/source-file.ts'
import {
  BINARY,
  createFolder,
  DATA,
  MODELS,
  type Running,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { encodeBinary, floats, inferBinary, inferJson, tensorOf, type V2Tensor } from '../kit/v2.ts'

const folder = await createFolder()
const models = join(folder.path, 'models')
let server: Running

/** Named so that it is read before what it is made of. The mask is optional, and so is its threshold. */
const PAGE = `
name: "a-page"
platform: "ensemble"
max_batch_size: 4
input [
  { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
]
output [
  { name: "SHARE" data_type: TYPE_FP32 dims: [ ] },
  { name: "MASK" data_type: TYPE_BOOL dims: [ 1, -1, -1 ] },
  { name: "TURNED" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "turned.txt" }
]
ensemble_scheduling {
  step [
    {
      model_name: "mask" model_version: -1
      input_map { key: "SCORES" value: "scores" }
      output_map { key: "SHARE" value: "SHARE" }
      output_map { key: "MASK" value: "MASK" }
    },
    {
      model_name: "text-detector" model_version: 1
      input_map { key: "x" value: "pixels" }
      output_map { key: "sigmoid_0.tmp_0" value: "scores" }
    },
    {
      model_name: "text-orientation" model_version: -1
      input_map { key: "x" value: "pixels" }
      output_map { key: "softmax_0.tmp_0" value: "TURNED" }
    },
    {
      model_name: "prepare" model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      output_map { key: "PIXELS" value: "pixels" }
    }
  ]
}`

const CHAIN = `
[[ensemble.steps]]
model = "simple"
inputs = { INPUT0 = "A", INPUT1 = "B" }
outputs = { OUTPUT0 = "sum", OUTPUT1 = "difference" }

[[ensemble.steps]]
model = "simple"
inputs = { INPUT0 = "sum", INPUT1 = "difference" }
outputs = { OUTPUT0 = "TWICE" }
`

/** Of a threshold that need not come. */
const MASKING = `
[[ensemble.steps]]
model = "mask"
inputs = { SCORES = "SCORES", THRESHOLD = "LIMIT" }
outputs = { SHARE = "SHARE" }
`

const PICKING = `
[[ensemble.steps]]
model = "pick"
inputs = { INPUT0 = "PLACES" }
outputs = { OUTPUT0 = "picked" }
[[ensemble.steps]]
model = "float-copy"
inputs = { INPUT0 = "picked" }
outputs = { OUTPUT0 = "OUT" }
`

const CROOKED = `
platform: "ensemble"
input { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] }
output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }
ensemble_scheduling {
  step { model_name: "float-copy" model_version: -1
    input_map { key: "INPUT0" value: "IMAGES" } output_map { key: "OUTPUT0" value: "OUT" } }
}`

async function writeEnsemble(name: string, config: { readonly file: string; readonly text: string }) {
  await mkdir(join(models, name, '1'), { recursive: true })
  await Bun.write(join(models, name, config.file), config.text)
}

beforeAll(async () => {
  for (const name of ['text-detector', 'text-orientation']) {
    await cp(join(MODELS, name), join(models, name), { recursive: true, dereference: true })
  }
  await writeModel(models, 'prepare', { onnx: zoo.prepareImage() })
  await writeModel(models, 'mask', { onnx: zoo.maskScores() })
  await writeModel(models, 'simple', { onnx: zoo.simple() })
  await writeModel(models, 'pick', { onnx: zoo.failsOnIndex() })
  await writeModel(models, 'float-copy', { onnx: zoo.identity('FLOAT') })
  await writeEnsemble('a-page', { file: 'config.pbtxt', text: PAGE })
  await Bun.write(join(models, 'a-page', 'turned.txt'), 'upright\nupside down\n')
  const toml = {
    chain: CHAIN,
    masking: MASKING,
    picking: PICKING,
    lost: MASKING.replace('"mask"', '"nobody"'),
  }
  for (const [name, text] of Object.entries(toml)) await writeEnsemble(name, { file: 'config.toml', text })
  await writeEnsemble('crooked', { file: 'config.pbtxt', text: CROOKED })
  const command = [BINARY, 'serve', '--models', models, '--port', '0']
  server = await startServing(folder.path, { command })
})

afterAll(async () => {
  // It waits for whatever is held: nothing may be.
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const get = async (path: string) => {
  const response = await fetch(`${server.url}${path}`)
  return { status: response.status, body: (await response.json()) as never }
}
const post = (path: string, body = '{}') => fetch(`${server.url}${path}`, { method: 'POST', body })

interface Counts {
  readonly name: string
  readonly inference_count: number
  readonly execution_count: number
  readonly inference_stats: Readonly<Record<string, { readonly count: number }>>
}

async function counts(model: string): Promise<Counts> {
  const { model_stats: all } = (await get('/v2/models/stats')).body as { model_stats: Counts[] }
  const found = all.find(({ name }) => name === model)
  if (found === undefined) throw new Error(`${model} has no statistics`)
  return found
}

/** A page as rows of pixels, in whole tiles of the network. */
async function readPage(): Promise<V2Tensor> {
  const [height, width] = [480, 640]
  const file = await readSource(join(DATA, 'page.png'), () => new ReadableStream())
  const { rgb } = await decodeImage(file, { width, height })
  return tensorOf('IMAGE', 'UINT8', { shape: [1, height, width, 3], data: rgb })
}

describe('an ensemble of four models', () => {
  test('answers what its steps answer when they are asked one after the other', async () => {
    const image = await readPage()
    const whole = await inferBinary(server.url, 'a-page', [image])
    const ask = async (model: string, input: string, from: V2Tensor | undefined) =>
      await inferBinary(server.url, model, [{ ...(from as V2Tensor), name: input }])
    const pixels = (await ask('prepare', 'IMAGE', image)).get('PIXELS')
    const scores = (await ask('text-detector', 'x', pixels)).get('sigmoid_0.tmp_0')
    const turned = (await ask('text-orientation', 'x', pixels)).get('softmax_0.tmp_0')
    const masked = await ask('mask', 'SCORES', scores)
    const expected = { SHARE: masked.get('SHARE'), MASK: masked.get('MASK'), TURNED: turned }
    for (const [name, tensor] of Object.entries(expected)) {
      expect(whole.get(name)).toEqual({ ...(tensor as V2Tensor), name })
    }
    // There is text on the page, and not everywhere.
    const [share = 0] = floats(whole.get('SHARE'))
    expect(share).toBeGreaterThan(0.01)
    expect(share).toBeLessThan(0.9)
  })

  test('answers the same in JSON, and again when many ask at once', async () => {
    const [height, width] = [32, 64]
    const data = Uint8Array.from({ length: height * width * 3 }, (_, index) => (index * 7919) % 256)
    const image = tensorOf('IMAGE', 'UINT8', { shape: [1, height, width, 3], data })
    const binary = await inferBinary(server.url, 'a-page', [image])
    const input = { name: 'IMAGE', datatype: 'UINT8', shape: image.shape, data: [...data] }
    const { status, text } = await inferJson(server.url, 'a-page', JSON.stringify({ inputs: [input] }))
    expect(status).toBe(200)
    const { outputs } = JSON.parse(text) as { outputs: { name: string; data: number[] }[] }
    expect(outputs.map(({ name }) => name)).toEqual(['SHARE', 'MASK', 'TURNED'])
    const turned = Float32Array.from(outputs[2]?.data ?? [])
    expect([...turned]).toEqual([...floats(binary.get('TURNED'))])
    const many = await Promise.all(
      Array.from({ length: 24 }, () => inferBinary(server.url, 'a-page', [image])),
    )
    for (const answer of many) expect(answer).toEqual(binary)
  })

  test('computes only what is wanted, and classifies with its own labels', async () => {
    const before = (await counts('text-detector')).execution_count
    const data = new Array(32 * 32 * 3).fill(200)
    const inputs = [{ name: 'IMAGE', datatype: 'UINT8', shape: [1, 32, 32, 3], data }]
    const outputs = [{ name: 'TURNED', parameters: { classification: 1 } }]
    const { text } = await inferJson(server.url, 'a-page', JSON.stringify({ inputs, outputs }))
    const answer = JSON.parse(text) as { outputs: { datatype: string; data: string[] }[] }
    expect(answer.outputs[0]).toMatchObject({ datatype: 'BYTES', shape: [1, 1] })
    expect(answer.outputs[0]?.data[0]).toMatch(/^0\.\d+:(0:upright|1:upside down)$/)
    expect((await counts('text-detector')).execution_count).toBe(before)
  })

  test('counts itself and its models', async () => {
    const [whole, part] = [await counts('a-page'), await counts('prepare')]
    expect(part.inference_count).toBeGreaterThanOrEqual(whole.inference_count)
    const { success, queue, compute_infer } = whole.inference_stats
    expect(whole.inference_count).toBeGreaterThan(25)
    expect([success, queue, compute_infer].map((sum) => sum?.count)).toEqual(
      new Array(3).fill(whole.inference_count),
    )
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    expect(metrics).toContain(
      `nv_inference_request_success{model="a-page",version="1"} ${whole.inference_count}\n`,
    )
  })

  test('says what it is: metadata, config, readiness, index', async () => {
    expect((await get('/v2/models/a-page')).body).toEqual({
      name: 'a-page',
      versions: ['1'],
      platform: 'ensemble',
      inputs: [{ name: 'IMAGE', datatype: 'UINT8', shape: [-1, -1, -1, 3] }],
      outputs: [
        { name: 'SHARE', datatype: 'FP32', shape: [-1] },
        { name: 'MASK', datatype: 'BOOL', shape: [-1, 1, -1, -1] },
        { name: 'TURNED', datatype: 'FP32', shape: [-1, 2] },
      ],
      properties: { providers: [], placement: null },
    } as never)
    expect((await get('/v2/models/a-page/config')).body).toMatchObject({
      platform: 'ensemble',
      backend: '',
      max_batch_size: 4,
      instance_group: [],
      ensemble_scheduling: {
        step: [
          { model_name: 'mask', model_version: -1, input_map: { SCORES: 'scores' } },
          { model_name: 'text-detector', model_version: 1 },
          { model_name: 'text-orientation', model_version: -1 },
          { model_name: 'prepare', model_version: -1, output_map: { PIXELS: 'pixels' } },
        ],
      },
    })
    expect((await get('/v2/models/a-page/ready')).status).toBe(200)
  })

  test('refuses a batch that is too large and an input that does not fit, in its own name', async () => {
    const refused = async (shape: number[]) => {
      const data = new Array(shape.reduce((product, size) => product * size, 1)).fill(0)
      const body = JSON.stringify({ inputs: [{ name: 'IMAGE', datatype: 'UINT8', shape, data }] })
      const { status, text } = await inferJson(server.url, 'a-page', body)
      return [status, (JSON.parse(text) as { error: string }).error]
    }
    expect(await refused([5, 32, 32, 3])).toEqual([
      400,
      'Cannot infer with "a-page/1": inference request batch-size must be <= 4 and at least 1, input "IMAGE" has 5',
    ])
    expect(await refused([1, 32, 32, 4])).toEqual([
      400,
      'Cannot infer with "a-page/1": input "IMAGE" is UINT8 [1,32,32,4], expected UINT8 [-1,-1,-1,3]',
    ])
  })
})

test('an optional input may be left out, and counts when it is there', async () => {
  const scores = tensorOf('SCORES', 'FP32', {
    shape: [1, 1, 1, 4],
    data: Float32Array.of(0.1, 0.4, 0.6, 0.9),
  })
  const limit = tensorOf('LIMIT', 'FP32', { shape: [1], data: Float32Array.of(0.5) })
  const share = async (...inputs: V2Tensor[]) =>
    floats((await inferBinary(server.url, 'masking', inputs)).get('SHARE'))[0]
  expect([await share(scores), await share(scores, limit)]).toEqual([0.75, 0.5])
})

test('a step that fails is named with its model, and counts as a failure of both', async () => {
  const input = { name: 'PLACES', datatype: 'INT64', shape: [1] }
  const ask = (data: number[]) =>
    inferJson(server.url, 'picking', JSON.stringify({ inputs: [{ ...input, data }] }))
  expect((await ask([1])).status).toBe(200)
  const { status, text } = await ask([99])
  expect(status).toBe(400)
  expect(text).toContain('Cannot infer with \\"picking/1\\": step 1 (\\"pick/1\\"): Cannot run \\"pick/1\\"')
  expect((await ask([2])).status).toBe(200)
  for (const model of ['picking', 'pick'])
    expect((await counts(model)).inference_stats['fail']?.count).toBe(1)
  expect((await counts('float-copy')).execution_count).toBe(2)
})

test('what is wrong stands in the index and with doctor, by line or by step', async () => {
  const index = (await (await post('/v2/repository/index')).json()) as { name: string; reason: string }[]
  const reason = (name: string) => index.find((each) => each.name === name)?.reason
  const crooked =
    'line 6: ensemble_scheduling.step: step 1 ("float-copy"): input "INPUT0" wants tensor "IMAGES"'
  const lost = `Cannot serve "lost/1": step 1 ("nobody"): Request for unknown model: 'nobody' is not found`
  expect(reason('crooked')).toContain(crooked)
  expect(reason('lost')).toBe(lost)
  const doctor = await runToEnd(folder.path, { command: [BINARY, 'doctor', '--models', models] })
  expect(doctor.stdout).toContain(crooked)
  expect(doctor.stdout).toContain(lost)
  expect(doctor.stdout).toContain('a-page 1: IMAGE UINT8 [-1,-1,-1,3] → ')
})

describe('while models change', () => {
  const request = () => {
    const rows = [Int32Array.from({ length: 16 }, (_, index) => index), new Int32Array(16).fill(1)]
    const [A, B] = rows.map((data, index) =>
      tensorOf('AB'[index] as string, 'INT32', { shape: [1, 16], data }),
    )
    return encodeBinary([A as V2Tensor, B as V2Tensor])
  }
  const ask = async () => {
    const { body, headers } = request()
    const response = await fetch(`${server.url}/v2/models/chain/infer`, { method: 'POST', body, headers })
    const bytes = await response.arrayBuffer()
    const twice = response.ok ? [...new Int32Array(bytes.slice(bytes.byteLength - 64))] : []
    return { status: response.status, twice }
  }
  const expected = Array.from({ length: 16 }, (_, index) => 2 * index)

  test('no request fails when a model is loaded again, and again, under load', async () => {
    let isOver = false
    let answered = 0
    const wrong: unknown[] = []
    const clients = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const answer = await ask()
        answered += 1
        if (answer.status !== 200 || answer.twice.join() !== expected.join()) wrong.push(answer)
      }
    })
    for (let time = 0; time < 20; time += 1) {
      expect((await post('/v2/repository/models/simple/load')).status).toBe(200)
    }
    isOver = true
    await Promise.all(clients)
    expect(wrong).toEqual([])
    expect(answered).toBeGreaterThan(20)
  })

  test('it is ready exactly while its models are', async () => {
    expect((await post('/v2/repository/models/simple/unload')).status).toBe(200)
    expect((await get('/v2/models/chain/ready')).status).toBe(400)
    const refused = await inferJson(server.url, 'chain', '{"inputs":[]}')
    expect(refused.status).toBe(503)
    expect(refused.text).toContain('step 1 (\\"simple\\"): Cannot infer with \\"simple/1\\": it is UN')
    expect((await post('/v2/repository/models/simple/load')).status).toBe(200)
    expect((await get('/v2/models/chain/ready')).status).toBe(200)
    expect((await ask()).twice).toEqual(expected)
  })

  test('loading it loads its models; unloading it lets them go only when told to', async () => {
    const ready = async () =>
      await Promise.all(
        ['chain', 'simple'].map(async (name) => (await get(`/v2/models/${name}/ready`)).status),
      )
    expect((await post('/v2/repository/models/chain/unload')).status).toBe(200)
    expect(await ready()).toEqual([400, 200])
    expect((await post('/v2/repository/models/chain/load')).status).toBe(200)
    const both = '{"parameters":{"unload_dependents":true}}'
    expect((await post('/v2/repository/models/chain/unload', both)).status).toBe(200)
    expect(await ready()).toEqual([400, 400])
    expect((await post('/v2/repository/models/chain/load')).status).toBe(200)
    expect(await ready()).toEqual([200, 200])
    // Others have a step for it too: it stays.
    const page = await post('/v2/repository/models/masking/unload', both)
    expect([page.status, (await get('/v2/models/mask/ready')).status]).toEqual([200, 200])
  })

  test('a config in a load request makes another of it, this once', async () => {
    const config = JSON.stringify({
      platform: 'ensemble',
      ensemble_scheduling: {
        step: [
          {
            model_name: 'simple',
            model_version: -1,
            input_map: { INPUT0: 'A', INPUT1: 'B' },
            output_map: { OUTPUT1: 'DIFFERENCE' },
          },
        ],
      },
    })
    expect(
      (await post('/v2/repository/models/chain/load', JSON.stringify({ parameters: { config } }))).status,
    ).toBe(200)
    const { body, headers } = request()
    const answer = await fetch(`${server.url}/v2/models/chain/infer`, { method: 'POST', body, headers })
    expect(await answer.text()).toContain('"name":"DIFFERENCE"')
    expect((await post('/v2/repository/models/chain/load')).status).toBe(200)
    expect((await ask()).twice).toEqual(expected)
  })
})
