import { describe, expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { modelConfig } from '../../src/http/model-config.ts'
import { Lane } from '../../src/inference/lane.ts'
import type { Signature } from '../../src/runtime/backend.ts'
import { stageApp } from '../kit/app-stage.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeSession, scheduling, spec } from '../kit/fake-session.ts'

const SIGNATURE: Signature = {
  inputs: [
    spec('image', 'FP32', [-1, 3, 224, 224]),
    { ...spec('words', 'BYTES', [-1, -1]), isOptional: true },
  ],
  outputs: [spec('scores', 'FP16', [-1, 1000]), spec('packed', 'INT4', [-1])],
  unsupportedOutputs: [],
}

function laneOf(signature: Signature): Lane {
  return new Lane({
    model: 'net',
    version: '1',
    session: new FakeSession(signature),
    clock: new FakeClock(),
    scheduling: scheduling(),
    runsMax: 2,
    mayRunInline: true,
  })
}

function configOf(text: string, signature = SIGNATURE): object {
  return modelConfig(laneOf(signature), parseModelSettings({ path: 'net/config.pbtxt', text }))
}

test('what the settings leave open is the model', () => {
  expect(configOf('max_batch_size: 8')).toEqual({
    name: 'net',
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    runtime: '',
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: 8,
    input: [
      {
        name: 'image',
        data_type: 'TYPE_FP32',
        format: 'FORMAT_NONE',
        dims: [3, 224, 224],
        is_shape_tensor: false,
        allow_ragged_batch: false,
        optional: false,
        is_non_linear_format_io: false,
      },
      {
        name: 'words',
        data_type: 'TYPE_STRING',
        format: 'FORMAT_NONE',
        dims: [-1],
        is_shape_tensor: false,
        allow_ragged_batch: false,
        optional: true,
        is_non_linear_format_io: false,
      },
    ],
    output: [
      {
        name: 'scores',
        data_type: 'TYPE_FP16',
        dims: [1000],
        label_filename: '',
        is_shape_tensor: false,
        is_non_linear_format_io: false,
      },
      {
        name: 'packed',
        data_type: 'TYPE_INVALID',
        dims: [],
        label_filename: '',
        is_shape_tensor: false,
        is_non_linear_format_io: false,
      },
    ],
    batch_input: [],
    batch_output: [],
    optimization: {
      graph: { level: 0 },
      priority: 'PRIORITY_DEFAULT',
      gather_kernel_buffer_threshold: 0,
      eager_batching: false,
    },
    instance_group: [
      {
        name: 'net_0',
        kind: 'KIND_CPU',
        count: 1,
        gpus: [],
        secondary_devices: [],
        profile: [],
        passive: false,
        host_policy: '',
      },
    ],
    default_model_filename: 'model.onnx',
    cc_model_filenames: {},
    metric_tags: {},
    parameters: {},
    model_warmup: [],
    model_transaction_policy: { decoupled: false },
  })
})

test('without batches the dims are the whole shape', () => {
  expect(configOf('')).toMatchObject({
    max_batch_size: 0,
    input: [{ dims: [-1, 3, 224, 224] }, { dims: [-1, -1] }],
  })
})

test('what a model is warmed up with is there, with the inputs of a sample that names none', () => {
  const lane = (text: string) => configOf(text) as { model_warmup: unknown }
  const sample = 'key: "image" value { data_type: TYPE_FP32 dims: [ 3, 1, 1 ] random_data: true }'
  expect(
    lane(`max_batch_size: 2 model_warmup { name: "a" count: 3 inputs { ${sample} } }`).model_warmup,
  ).toEqual([
    {
      name: 'a',
      batch_size: 1,
      count: 3,
      inputs: { image: { data_type: 'TYPE_FP32', dims: [3, 1, 1], random_data: true } },
    },
  ])
  const settings = parseModelSettings({ path: 'net/config.toml', text: 'warmup = 2' })
  expect(modelConfig(laneOf(SIGNATURE), settings).model_warmup).toEqual([
    {
      name: 'zeros',
      batch_size: 1,
      count: 2,
      inputs: { image: { data_type: 'TYPE_FP32', dims: [1, 3, 224, 224], zero_data: true } },
    },
  ])
})

test('what the settings say is there', () => {
  const text = `
    version_policy { specific { versions: [ 1, 20 ] } }
    default_model_filename: "net.onnx"
    input { name: "image" data_type: TYPE_FP32 dims: [ -1, 3, 224, 224 ] format: FORMAT_NCHW }
    output { name: "scores" data_type: TYPE_FP16 dims: [ -1, 1000 ] label_filename: "labels.txt" }
    instance_group { count: 3 }
    optimization { graph { level: -1 } }
    parameters { key: "metadata.author" value { string_value: "Zoë" } }
    parameters { key: "limpet.swap" value { string_value: "drain" } }
    parameters { key: "limpet.on_demand" value { string_value: "1" } }`
  expect(configOf(text)).toMatchObject({
    version_policy: { specific: { versions: [1, 20] } },
    default_model_filename: 'net.onnx',
    input: [{ format: 'FORMAT_NCHW' }, { format: 'FORMAT_NONE' }],
    output: [{ label_filename: 'labels.txt' }, { label_filename: '' }],
    instance_group: [{ count: 3 }],
    optimization: { graph: { level: -1 } },
    parameters: {
      'metadata.author': { string_value: 'Zoë' },
      'limpet.swap': { string_value: 'drain' },
      'limpet.on_demand': { string_value: 'true' },
    },
  })
})

test.each([
  ['all { }', { all: {} }],
  ['latest { num_versions: 2 }', { latest: { num_versions: 2 } }],
])('version_policy { %s }', (text, policy) => {
  expect(configOf(`version_policy { ${text} }`)).toMatchObject({ version_policy: policy })
})

describe('dynamic_batching', () => {
  test('is there when it is set, with everything in it', () => {
    const text = `max_batch_size: 8 dynamic_batching {
      preferred_batch_size: 4 max_queue_delay_microseconds: 100 priority_levels: 2 default_priority_level: 1
      priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 7 } }
    }`
    const policy = {
      timeout_action: 'REJECT',
      default_timeout_microseconds: 0,
      allow_timeout_override: false,
      max_queue_size: 0,
    }
    expect(configOf(text)).toMatchObject({
      dynamic_batching: {
        preferred_batch_size: [4],
        max_queue_delay_microseconds: 100,
        preserve_ordering: false,
        priority_levels: 2,
        default_priority_level: 1,
        default_queue_policy: policy,
        priority_queue_policy: {
          '2': { ...policy, timeout_action: 'DELAY', default_timeout_microseconds: 7 },
        },
      },
    })
  })

  test('of kept answers is there when it is on', () => {
    expect(configOf('response_cache { enable: true }')).toMatchObject({ response_cache: { enable: true } })
    expect(configOf('response_cache { enable: false }')).not.toHaveProperty('response_cache')
  })

  test('is not there when it is not', () => {
    const absent = ['dynamic_batching', 'sequence_batching', 'ensemble_scheduling', 'response_cache']
    expect(Object.keys(configOf('')).filter((key) => absent.includes(key))).toEqual([])
  })
})

test('the route answers for what is served, and refuses what is not', async () => {
  const { ask } = await stageApp({ configured: () => parseModelSettings(undefined) })
  for (const path of ['echo', 'echo/versions/1']) {
    const { status, body } = await ask('GET', `/v2/models/${path}/config`)
    expect([status, body]).toMatchObject([200, { name: 'echo', input: [{ data_type: 'TYPE_UINT8' }] }])
  }
  expect((await ask('GET', '/v2/models/echo/versions/2/config')).status).toBe(503)
  expect((await ask('GET', '/v2/models/nobody/config')).status).toBe(404)
  expect((await ask('POST', '/v2/models/echo/config')).status).toBe(405)
})
