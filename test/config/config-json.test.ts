/** Triton's ModelConfig as JSON: the same settings as from its text format, and the same words where they are wrong. */
import { expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'

const fromText = (text: string) => parseModelSettings({ path: 'net/config.pbtxt', text })
const fromJson = (json: unknown) =>
  parseModelSettings({
    path: 'net/config.json',
    text: typeof json === 'string' ? json : JSON.stringify(json),
  })

const TEXT = fromText(`
  name: "net"
  max_batch_size: 8
  version_policy { specific { versions: [ 1, 3 ] } }
  input { name: "A" data_type: TYPE_FP32 dims: [ 3, -1 ] format: FORMAT_NHWC optional: true }
  output { name: "B" data_type: TYPE_STRING dims: [ 1 ] label_filename: "labels.txt" }
  dynamic_batching {
    preferred_batch_size: [ 4, 8 ]
    max_queue_delay_microseconds: 250
    priority_levels: 2
    default_priority_level: 1
    priority_queue_policy { key: 2 value { timeout_action: DELAY max_queue_size: 7 } }
  }
  instance_group { count: 2 kind: KIND_CPU }
  parameters { key: "intra_op_thread_count" value { string_value: "3" } }
  parameters { key: "metadata.someKey" value { string_value: "" } }`)

test('in snake_case', () => {
  const json = {
    name: 'net',
    max_batch_size: 8,
    version_policy: { specific: { versions: [1, 3] } },
    input: [{ name: 'A', data_type: 'TYPE_FP32', dims: [3, -1], format: 'FORMAT_NHWC', optional: true }],
    output: [{ name: 'B', data_type: 'TYPE_STRING', dims: [1], label_filename: 'labels.txt' }],
    dynamic_batching: {
      preferred_batch_size: [4, 8],
      max_queue_delay_microseconds: 250,
      priority_levels: 2,
      default_priority_level: 1,
      priority_queue_policy: { 2: { timeout_action: 'DELAY', max_queue_size: 7 } },
    },
    instance_group: [{ count: 2, kind: 'KIND_CPU' }],
    parameters: {
      intra_op_thread_count: { string_value: '3' },
      'metadata.someKey': { string_value: '' },
    },
  }
  expect(fromJson(json)).toEqual(TEXT)
})

test('in camelCase, with 64 bits in quotes, and what is not set written out', () => {
  const json = {
    name: 'net',
    platform: '',
    maxBatchSize: 8,
    versionPolicy: { specific: { versions: ['1', '3'] } },
    input: [{ name: 'A', dataType: 'TYPE_FP32', dims: ['3', '-1'], format: 'FORMAT_NHWC', optional: true }],
    output: [{ name: 'B', dataType: 'TYPE_STRING', dims: ['1'], labelFilename: 'labels.txt', reshape: null }],
    batchInput: [],
    ccModelFilenames: {},
    dynamicBatching: {
      preferredBatchSize: [4, 8],
      maxQueueDelayMicroseconds: '250',
      priorityLevels: '2',
      defaultPriorityLevel: '1',
      priorityQueuePolicy: { 2: { timeoutAction: 'DELAY', maxQueueSize: 7 } },
    },
    instanceGroup: [{ count: 2, kind: 'KIND_CPU', gpus: [], hostPolicy: '', passive: false }],
    parameters: { intra_op_thread_count: { stringValue: '3' }, 'metadata.someKey': { stringValue: '' } },
  }
  expect(fromJson(json)).toEqual(TEXT)
})

test.each([
  ['{"max_batch_size":1.5}', 'max_batch_size: is 1.5, expected an integer'],
  ['{"max_batch_size":"1e3"}', 'max_batch_size: is "1e3", expected an integer'],
  ['{"max_batch_size":99999999999999999999}', 'max_batch_size: is 99999999999999999999'],
  ['{"max_batch_size":1,"maxBatchSize":1}', 'max_batch_size: is there 2 times'],
  ['{"dynamic_batching":{"preserve_ordering":"true"}}', 'dynamic_batching.preserve_ordering: is "true"'],
  ['{"instance_group":[{"kind":"KIND_TPU"}]}', 'instance_group.kind: is "KIND_TPU"'],
  ['{"parameters":{"execution_mode":{"string_value":"9"}}}', '"execution_mode" cannot be "9"'],
  ['{"parameters":{"execution_mode":"0"}}', 'parameters.value: is "0", expected a message'],
  ['{"__proto__":{},"constructor":1}', 'constructor: is unknown'],
  ['{"input":[[]]}', 'input holds a list in a list'],
  ['{"input":[null]}', 'input holds null in a list'],
  ['{"default_model_filename":"../x"}', 'default_model_filename'],
  [`{"version_policy":{"specific":{"versions":[${'1,'.repeat(10_000)}1]}}}`, 'more than 10000 fields'],
  [`"${'x'.repeat(2 ** 20)}"`, 'at most 1048576'],
  ['null', 'it is no object'],
])('%p is refused', (text, says) => {
  const parse = () => fromJson(text)
  expect(parse).toThrow(says)
  expect(parse).not.toThrow(/line \d/)
})
