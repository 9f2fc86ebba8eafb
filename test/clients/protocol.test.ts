/** Replies held against the Open Inference Protocol's own description of them, and Triton's of its extensions. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { z } from 'zod'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

/** "Tensor Data Types" of the protocol; BF16 is Triton's addition. */
const datatype = z.enum([
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
  'BF16',
])
const parameters = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
const tensorMetadata = z.strictObject({ name: z.string().min(1), datatype, shape: z.array(z.int().min(-1)) })
const element = z.union([z.number(), z.string(), z.boolean()])

const serverMetadata = z.strictObject({
  name: z.string().min(1),
  version: z.string().min(1),
  extensions: z.array(z.string()),
})
const modelMetadata = z.strictObject({
  name: z.string().min(1),
  versions: z.array(z.string()).optional(),
  platform: z.string().min(1),
  inputs: z.array(tensorMetadata),
  outputs: z.array(tensorMetadata),
  properties: z.record(z.string(), z.unknown()).optional(),
})
const inferenceResponse = z.strictObject({
  model_name: z.string(),
  model_version: z.string().optional(),
  id: z.string().min(1).optional(),
  parameters: parameters.optional(),
  outputs: z.array(
    z.strictObject({
      name: z.string(),
      shape: z.array(z.int().min(0)),
      datatype,
      // Without `parameters`, which is allowed but makes Triton's C++ client look for binary data.
      data: z.array(element),
    }),
  ),
})
const errorReply = z.strictObject({ error: z.string().min(1) })
/** The text of the protocol names the keys; KServe's client reads `ready` where the text says `live`. */
const live = z.strictObject({ live: z.literal(true) })
const ready = z.strictObject({ live: z.literal(true), ready: z.boolean() })
const modelReady = z.strictObject({ name: z.string(), ready: z.boolean() })
const repositoryIndex = z.array(
  z.strictObject({
    name: z.string(),
    version: z.string().optional(),
    state: z.enum(['UNKNOWN', 'READY', 'UNAVAILABLE', 'LOADING', 'UNLOADING']).optional(),
    reason: z.string().min(1).optional(),
  }),
)
const duration = z.strictObject({ count: z.int().min(0), ns: z.int().min(0) })
const statistics = z.strictObject({
  model_stats: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      last_inference: z.int().min(0),
      inference_count: z.int().min(0),
      execution_count: z.int().min(0),
      inference_stats: z.strictObject({
        success: duration,
        fail: duration,
        queue: duration,
        compute_input: duration,
        compute_infer: duration,
        compute_output: duration,
        cache_hit: duration,
        cache_miss: duration,
      }),
      batch_stats: z.array(
        z.strictObject({
          batch_size: z.int().min(1),
          compute_input: duration,
          compute_infer: duration,
          compute_output: duration,
        }),
      ),
    }),
  ),
})

const REQUEST = JSON.stringify({
  id: 'one',
  inputs: [0, 1].map((number) => ({
    name: `INPUT${number}`,
    datatype: 'INT32',
    shape: [1, 16],
    data: Array.from({ length: 16 }, (_, index) => index),
  })),
})
const post = (body: string) => ({ method: 'POST', body })

/** What is asked, how, the status that comes, and what the reply must be. */
const REPLIES: readonly (readonly [path: string, init: RequestInit, status: number, schema: z.ZodType])[] = [
  ['/v2', {}, 200, serverMetadata],
  ['/v2/health/live', {}, 200, live],
  ['/v2/health/ready', {}, 200, ready],
  ['/v2/models/simple', {}, 200, modelMetadata],
  ['/v2/models/mixed/versions/1', {}, 200, modelMetadata],
  ['/v2/models/simple/ready', {}, 200, modelReady],
  ['/v2/models/simple/versions/1/ready?verbose=1', {}, 200, modelReady],
  ['/v2/models/nobody/ready', {}, 400, modelReady],
  ['/v2/models/simple/infer', post(REQUEST), 200, inferenceResponse],
  ['/v2/models/simple/versions/1/infer', post(REQUEST), 200, inferenceResponse],
  ['/v2/repository/index', { method: 'POST' }, 200, repositoryIndex],
  ['/v2/repository/index', post('{"ready":true}'), 200, repositoryIndex],
  ['/v2/models/stats', {}, 200, statistics],
  ['/v2/models/simple/stats', {}, 200, statistics],
  ['/v2/models/simple/versions/1/stats', {}, 200, statistics],
  ['/v2/models/nobody', {}, 404, errorReply],
  ['/v2/models/nobody/infer', post(REQUEST), 404, errorReply],
  ['/v2/models/nobody/stats', {}, 404, errorReply],
  ['/v2/models/simple/infer', post('{'), 400, errorReply],
  ['/v2/models/simple/infer', post('{"inputs":[]}'), 400, errorReply],
  ['/v2/models/simple/infer', {}, 405, errorReply],
  ['/v2/health/live', post(''), 405, errorReply],
  ['/v2/nowhere', {}, 404, errorReply],
  ['/v2/health/live/', {}, 404, errorReply],
]

describe('replies are of the form that the protocol says', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let server: Running

  beforeAll(async () => {
    folder = await createFolder()
    const models = join(folder.path, 'models')
    await writeModel(models, 'simple', { onnx: zoo.simple() })
    await writeModel(models, 'mixed', { onnx: zoo.mixed() })
    await writeModel(models, 'broken', { onnx: new Uint8Array(0) })
    server = await startServing(folder.path, {
      command: [BINARY, 'serve', '--models', models, '--port', '0'],
    })
    // So that the statistics have something to say.
    await fetch(`${server.url}/v2/models/simple/infer`, post(REQUEST))
  }, 60_000)

  afterAll(async () => {
    expect(await server.stop()).toBe(0)
    await folder.remove()
  })

  test.each([...REPLIES])('%s %j: %i', async (path, init, status, schema) => {
    const response = await fetch(`${server.url}${path}`, init)
    const text = await response.text()
    expect([response.status, text]).toEqual([status, text])
    expect(response.headers.get('content-type')).toStartWith('application/json')
    const parsed = schema.safeParse(JSON.parse(text))
    expect(parsed.error?.issues ?? []).toEqual([])
  })

  // Not built yet; this line fails when it is.
  test('only what is ready is in the index if that is asked for', async () => {
    const response = await fetch(`${server.url}/v2/repository/index`, post('{"ready":true}'))
    const names = repositoryIndex.parse(await response.json()).map(({ name }) => name)
    expect(names).toEqual(['mixed', 'simple'])
  })
})
