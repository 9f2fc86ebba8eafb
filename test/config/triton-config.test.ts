/** Triton's config.pbtxt in our words: first what works, then what is refused and how. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { SEED } from '../kit/seed.ts'

const parse = (text: string) => parseModelSettings({ path: 'net/config.pbtxt', text })

function messageFor(text: string): string {
  try {
    parse(text)
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError)
    expect(error).toMatchObject({ code: 'config_invalid' })
    return (error as Error).message
  }
  throw new Error(`Nothing refuses ${text}`)
}

/** All that is wrong with a file, without what every message begins with. */
function problemsOf(text: string): string[] {
  const start = 'Cannot use "net/config.pbtxt": '
  const message = messageFor(text)
  expect(message).toStartWith(start)
  return message.slice(start.length).split(/; (?=line \d)/)
}

const parameter = (key: string, value: string) =>
  `parameters { key: "${key}" value: { string_value: "${value}" } }`

test('an empty one has the defaults of config.toml', () => {
  expect(parse('') as unknown).toEqual(parseModelSettings(undefined))
})

test('a minimal one, as it stands in many repositories', () => {
  const settings = parse(`
    platform: "onnxruntime_onnx"
    max_batch_size: 8
    input [
      { name: "input0" data_type: TYPE_FP32 dims: [ 16 ] },
      { name: "input1" data_type: TYPE_STRING dims: [ -1, 3 ] format: FORMAT_NCHW optional: true }
    ]
    output [
      { name: "output0" data_type: TYPE_BF16 dims: [ 16 ] label_filename: "labels.txt" }
    ]`)
  expect(settings as unknown).toEqual({
    ...parseModelSettings(undefined),
    max_batch_size: 8,
    inputs: [
      { name: 'input0', datatype: 'FP32', dims: [16], format: 'none', optional: false },
      { name: 'input1', datatype: 'BYTES', dims: [-1, 3], format: 'nchw', optional: true },
    ],
    outputs: [{ name: 'output0', datatype: 'BF16', dims: [16], label_file: 'labels.txt' }],
  })
})

test('one that says much', () => {
  const settings = parse(`
    name: "net"
    backend: "onnxruntime"
    default_model_filename: "net.onnx"
    version_policy: { latest: { num_versions: 2 } }
    max_batch_size: 16
    dynamic_batching {
      preferred_batch_size: [ 4, 8 ]
      max_queue_delay_microseconds: 100
      preserve_ordering: true
      priority_levels: 2
      default_priority_level: 2
      default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 }
      priority_queue_policy { key: 1 value: { allow_timeout_override: true max_queue_size: 9 } }
    }
    instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 kind: KIND_CPU } ]
    optimization { graph { level: 1 } input_pinned_memory { enable: true } priority: PRIORITY_DEFAULT }
    model_transaction_policy { decoupled: false }
    response_cache { enable: true }
    ${parameter('intra_op_thread_count', '4')}
    ${parameter('execution_mode', '1')}
    ${parameter('enable_mem_arena', 'False')}
    ${parameter('session.use_device_allocator_for_initializers', '1')}
    ${parameter('share_session_between_instances', 'true')}
    ${parameter('metadata.author', 'Zoë')}`)
  const policy = { timeout_us: 0, timeout_action: 'reject', may_override_timeout: false, items_max: 0 }
  const defaults = parseModelSettings(undefined)
  expect(settings as unknown).toEqual({
    ...defaults,
    model_file: 'net.onnx',
    version_policy: { latest: 2 },
    max_batch_size: 16,
    instances: 3,
    response_cache: true,
    batching: {
      preferred_batch_sizes: [4, 8],
      queue_delay_us_max: 100,
      preserve_ordering: true,
      priority_levels: 2,
      default_priority_level: 2,
      default_queue_policy: { ...policy, timeout_action: 'delay', timeout_us: 5000 },
      priority_queue_policy: { '1': { ...policy, may_override_timeout: true, items_max: 9 } },
    },
    session: {
      ...defaults.session,
      intra_op_threads: 4,
      execution_mode: 'parallel',
      graph_optimization: 'extended',
      memory_arena: false,
      providers: [{ name: 'cpu', options: {} }],
      config_entries: { 'session.use_device_allocator_for_initializers': '1' },
    },
    metadata: { 'metadata.author': 'Zoë' },
  })
})

test('what Triton has no field for is a parameter', () => {
  const words = ['limpet.swap', 'limpet.pinned', 'limpet.on_demand']
  expect(
    parse(`${parameter('limpet.swap', 'keep_both')} ${parameter('limpet.pinned', 'true')}`),
  ).toMatchObject({
    swap: 'keep_both',
    pinned: true,
    on_demand: false,
  })
  for (const word of words) {
    expect(problemsOf(parameter(word, 'maybe'))).toEqual([
      expect.stringContaining(`"${word}" cannot be "maybe"`),
    ])
  }
})

test('version_labels are those of TensorFlow Serving', () => {
  const text = 'version_labels [ { key: "stable" value: 1 }, { key: "canary" value: 20 } ]'
  expect(parse(text).version_labels).toEqual({ stable: '1', canary: '20' })
  expect(problemsOf('version_labels { key: "a" value: "one" }')).toEqual([
    expect.stringContaining('version_labels.value: '),
  ])
})

describe('model_warmup', () => {
  const x = 'key: "x" value: { data_type: TYPE_STRING dims: [ 2 ] '

  test('is read with its samples and their inputs', () => {
    const text = `model_warmup [
      { name: "a" batch_size: 4 count: 2 inputs { ${x} zero_data: true } } },
      { name: "b" inputs [ { ${x} random_data: true } }, { key: "y" value { data_type: TYPE_FP32 dims: [] input_data_file: "y" } } ] }
    ]`
    const input = { datatype: 'BYTES', dims: [2] }
    expect(parse(text).warmup).toEqual([
      { name: 'a', batch_size: 4, count: 2, inputs: { x: { ...input, content: 'zeros' } } },
      {
        name: 'b',
        batch_size: 1,
        count: 1,
        inputs: { x: { ...input, content: 'random' }, y: { datatype: 'FP32', dims: [], file: 'y' } },
      },
    ])
  })

  test.each([
    ['model_warmup { name: "a" }', 'model_warmup.inputs: is missing'],
    [`model_warmup { inputs { ${x} zero_data: true } } }`, 'model_warmup.name: is missing'],
    [`model_warmup { name: "a" inputs { ${x} } } }`, 'has to have one of zero_data: true'],
    [`model_warmup { name: "a" inputs { ${x} zero_data: true random_data: true } } }`, 'has to have one of'],
    [`model_warmup { name: "a" inputs { ${x} zero_data: true shape: 1 } } }`, 'shape: is unknown'],
    [`model_warmup { name: "a" count: 10001 inputs { ${x} zero_data: true } } }`, 'model_warmup: '],
  ])('%s is refused', (text, what) => {
    expect(problemsOf(text)).toEqual([expect.stringContaining(what)])
  })
})

test.each([
  ['all { }', 'all'],
  ['latest { }', { latest: 1 }],
  ['latest { num_versions: 0 }', { latest: 1 }],
  ['', 'latest'],
  ['latest: { num_versions: 3 }', { latest: 3 }],
  ['specific: { versions: [1, 3] }', ['1', '3']],
])('version_policy { %s }', (text, policy) => {
  expect(parse(`version_policy { ${text} }`).version_policy as unknown).toEqual(policy)
})

test.each([
  [-1, 'basic'],
  [0, 'all'],
  [1, 'extended'],
  [2, 'none'],
])('graph level %d is %s, as in the onnxruntime backend', (level, optimization) => {
  const { session } = parse(`optimization { graph: { level: ${level} } }`)
  expect(session.graph_optimization as string).toBe(optimization)
})

test('dynamic batching with nothing in it', () => {
  expect(parse('max_batch_size: 4 dynamic_batching { }').batching).toMatchObject({ queue_delay_us_max: 0 })
})

describe('providers', () => {
  const accelerators = (text: string) => `optimization { execution_accelerators { ${text} } }`
  const gpu = (name: string, parameters = '') =>
    accelerators(`gpu_execution_accelerator : [ { name : "${name}" ${parameters} } ]`)
  const option = (key: string, value: string) => `parameters { key: "${key}" value: "${value}" }`
  const cpu = { name: 'cpu', options: {} }

  test.each([
    ['nothing', '', undefined],
    ['KIND_AUTO', 'instance_group { kind: KIND_AUTO }', undefined],
    ['KIND_CPU', 'instance_group { kind: KIND_CPU }', [cpu]],
    ['KIND_GPU', 'instance_group { kind: KIND_GPU }', [{ name: 'cuda', options: {} }, cpu]],
    [
      'a GPU by number',
      'instance_group [ { count: 2 kind: KIND_GPU gpus: [ 1 ] } ]',
      [{ name: 'cuda', options: { device_id: '1' } }, cpu],
    ],
    [
      'TensorRT',
      `${gpu('tensorrt', `${option('precision_mode', 'FP16')} ${option('max_workspace_size_bytes', '1073741824')} ${option('trt_engine_cache_enable', 'true')}`)} instance_group { gpus: 0 }`,
      [
        {
          name: 'tensorrt',
          options: {
            trt_fp16_enable: '1',
            trt_max_workspace_size: '1073741824',
            trt_engine_cache_enable: 'true',
            device_id: '0',
          },
        },
        { name: 'cuda', options: { device_id: '0' } },
        cpu,
      ],
    ],
    [
      'CUDA with options, old and new',
      `${gpu('cuda', option('cudnn_conv_use_max_workspace', '0'))} ${parameter('cudnn_conv_algo_search', '1')} ${parameter('gpu_mem_limit', '4294967200')}`,
      [
        {
          name: 'cuda',
          options: {
            cudnn_conv_algo_search: 'HEURISTIC',
            gpu_mem_limit: '4294967200',
            cudnn_conv_use_max_workspace: '0',
          },
        },
        cpu,
      ],
    ],
    [
      'OpenVINO',
      accelerators('cpu_execution_accelerator : [ { name : "openvino" } ]'),
      [{ name: 'openvino', options: {} }, cpu],
    ],
    [
      'OpenVINO on a GPU, without CUDA',
      gpu('openvino', option('device_type', 'GPU')),
      [{ name: 'openvino', options: { device_type: 'GPU' } }, cpu],
    ],
    [
      'a plug-in of the device, before CUDA where the GPU is wanted',
      `${gpu('plug_in', `${option('provider', 'trt_rtx')} ${option('enable_cuda_graph', '1')}`)} instance_group { gpus: 1 }`,
      [
        { name: 'trt_rtx', options: { enable_cuda_graph: '1' } },
        { name: 'cuda', options: { device_id: '1' } },
        cpu,
      ],
    ],
    [
      'a plug-in for the processor',
      accelerators(`cpu_execution_accelerator { name: "plug_in" ${option('provider', 'npu')} }`),
      [{ name: 'npu', options: {} }, cpu],
    ],
  ])('%s', (_, text, providers) => {
    expect(parse(text).session.providers as unknown).toEqual(providers)
  })

  test.each([
    [gpu('gpu_io'), 'is "gpu_io", expected "tensorrt", "cuda", "openvino", "webgpu" or "plug_in"'],
    [gpu('plug_in'), 'need "provider", the name of one of runtime.provider_libraries'],
    [gpu('tensorrt', option('max_cached_engines', '3')), '"max_cached_engines" is unknown to TensorRT'],
    [gpu('tensorrt', option('precision_mode', 'FP8')), 'precision_mode is "FP8", expected FP32, FP16, BF16'],
    [
      `${gpu('tensorrt')} instance_group { kind: KIND_CPU }`,
      'says KIND_CPU, but options of the GPU are there too',
    ],
    ['instance_group { kind: KIND_GPU gpus: [0, 1] }', 'have to be one and the same GPU'],
    ['instance_group [{ kind: KIND_GPU }, { kind: KIND_CPU }]', 'has to be the same for all groups'],
    ['instance_group { kind: KIND_MODEL }', 'KIND_MODEL is not supported'],
    ['instance_group { kind: KIND_CPU gpus: 0 }', 'cannot be with KIND_CPU'],
  ])('%s is refused', (text, what) => {
    const problems = problemsOf(text)
    expect(problems.length).toBe(1)
    expect(problems[0]).toContain(what)
  })
})

describe('what cannot be had is refused, with what can instead', () => {
  test.each([
    ['model_operations { op_library_filename: "a.so" }', 'model_operations: is not supported: '],
    ['model_repository_agents { }', 'model_repository_agents: is not supported: '],
    ['model_metrics { }', 'model_metrics: is not supported: '],
    ['metric_tags { key: "a" value: "b" }', 'metric_tags: is not supported: '],
    ['cc_model_filenames { key: "7.5" value: "b" }', 'cc_model_filenames: is not supported: '],
    ['batch_input [{ }]', 'batch_input: is not supported: '],
    ['model_transaction_policy { decoupled: True }', 'model_transaction_policy.decoupled: cannot be true: '],
    ['instance_group { rate_limiter { priority: 1 } }', 'instance_group.rate_limiter: is not supported: '],
    ['instance_group { passive: true }', 'instance_group.passive: cannot be true: '],
    ['instance_group { profile: "1" }', 'instance_group.profile: is not supported: '],
    ['optimization { cuda { graphs: true } }', 'optimization.cuda.graphs: cannot be true: '],
    ['optimization { eager_batching: true }', 'optimization.eager_batching: cannot be true: '],
    [
      'optimization { priority: PRIORITY_MAX }',
      'optimization.priority: is PRIORITY_MAX, expected PRIORITY_DEFAULT',
    ],
    ['platform: "tensorrt_plan"', 'platform: is "tensorrt_plan", expected "onnxruntime_onnx"'],
    ['backend: "python"', 'backend: is "python", expected "onnxruntime"'],
    ['name: "other"', 'name: is "other", expected that of the folder, "net"'],
    [
      'input { name: "a" data_type: TYPE_FP32 dims: [ 2, 3 ] reshape: { shape: [ 5 ] } }',
      'input.reshape: is [5] for dims [2,3], expected as many open dimensions (-1), and as many elements before, ',
    ],
    [
      'input { name: "a" data_type: TYPE_FP32 dims: 1 allow_ragged_batch: true }',
      'input.allow_ragged_batch: cannot be true: ',
    ],
    [
      'output { name: "a" data_type: TYPE_FP32 dims: 1 is_shape_tensor: true }',
      'output.is_shape_tensor: cannot be true: ',
    ],
    [
      parameter('intra_op_threads_count', '1'),
      'parameters.key: "intra_op_threads_count" is unknown, expected ',
    ],
    [parameter('execution_mode', '2'), 'parameters.value: "execution_mode" cannot be "2"'],
    [parameter('intra_op_thread_count', '257'), 'parameters.value: "intra_op_thread_count" cannot be "257"'],
  ])('%s', (text, what) => {
    const problems = problemsOf(`\n\n${text}`)
    expect(problems.length).toBe(1)
    expect(problems[0]).toStartWith(`line 3: ${what}`)
  })
})

test('a reshape to the same shape changes nothing', () => {
  const text = 'input { name: "a" data_type: TYPE_FP32 dims: [ 2, 3 ] reshape { shape: [ 2, 3 ] } }'
  expect(parse(text).inputs[0]).toMatchObject({ dims: [2, 3], reshape: undefined })
})

describe('what is written wrongly', () => {
  test.each([
    ['max_batch_sizes: 8', 'max_batch_sizes: is unknown'],
    ['dynamic_batching { max_delay: 3 } max_batch_size: 2', 'dynamic_batching.max_delay: is unknown'],
    ['max_batch_size: "8"', 'max_batch_size: is "8", expected an integer'],
    ['max_batch_size: 8.5', 'max_batch_size: is 8.5, expected an integer'],
    ['max_batch_size: 4 max_batch_size: 5', 'max_batch_size: is there 2 times, expected once'],
    ['optimization: 3', 'optimization: is 3, expected a message in braces'],
    ['input: "a"', 'input: is "a", expected a message in braces'],
    ['input { name: "a" data_type: TYPE_FLOAT }', 'input.data_type: is TYPE_FLOAT, expected TYPE_BOOL, '],
    ['input { name: "a" data_type: TYPE_INVALID }', 'input.data_type: is TYPE_INVALID, expected TYPE_BOOL, '],
    ['input { data_type: TYPE_FP32 }', 'input.name: is missing'],
    ['output { name: "a" }', 'output.data_type: is missing'],
    ['input { name: "a" data_type: TYPE_FP32 dims: -2 }', 'input.dims: is -2, expected -1 to 2147483647'],
    ['instance_group { kind: GPU }', 'instance_group.kind: is GPU, expected KIND_AUTO, '],
    ['instance_group { count: 257 }', 'instance_group.count: is 257, expected 0 to 256'],
    ['version_policy { specific { } }', 'version_policy.specific.versions: are missing'],
    [
      'version_policy { latest { num_versions: -1 } }',
      'version_policy.latest.num_versions: is -1, expected 0 to 1000',
    ],
    ['version_policy { all {} latest {} }', 'version_policy: has to be one of latest, all and specific'],
    ['parameters { key: "a" value: "b" }', 'parameters.value: is "b", expected a message in braces'],
    [
      `${parameter('metadata', 'a')} ${parameter('metadata', 'b')}`,
      'parameters.key: "metadata" is there twice',
    ],
    ['default_model_filename: "../a.onnx"', 'default_model_filename: Invalid string'],
    ['max_batch_size: -1', 'max_batch_size: Too small'],
    ['dynamic_batching { }', 'max_batch_size: batching needs a max_batch_size above 0'],
    [
      'max_batch_size: 2 dynamic_batching { preferred_batch_size: [ 4 ] }',
      'dynamic_batching.preferred_batch_size: 4 is above max_batch_size 2',
    ],
    [
      'max_batch_size: 2 dynamic_batching { priority_levels: 2 }',
      'dynamic_batching.default_priority_level: expected 1 to 2',
    ],
  ])('%s', (text, what) => {
    const problems = problemsOf(text)
    expect(problems.length).toBe(1)
    expect(problems[0]).toStartWith(`line 1: ${what}`)
  })

  test('is named all at once, in the order of the file', () => {
    const text = `name: "other"
      model_operations { }
      max_batch_size: 70000
      dynamic_batching {
        max_delay: 3
        max_queue_delay_microseconds: -1
      }
      optimization { graph { level: 7 } }`
    expect(problemsOf(text).map((problem) => problem.replace(/^(line \d+: [^:]+):.*/, '$1'))).toEqual([
      'line 1: name',
      'line 2: model_operations',
      'line 3: max_batch_size',
      'line 5: dynamic_batching.max_delay',
      'line 6: dynamic_batching.max_queue_delay_microseconds',
      'line 8: optimization.graph.level',
    ])
  })

  test('is named at most 50 times and not at any length: it goes into the log and the index', () => {
    const problems = problemsOf(
      `${'x'.repeat(100_000)}: 1 ${'y'.repeat(1000)} {} backend: "${'z'.repeat(100_000)}"`,
    )
    expect(problems.map(({ length }) => length)).toEqual([601, 601, 601])
    const fields = Array.from({ length: 51 }, (_, index) => `x${index}: 1`)
    expect(problemsOf(fields.join('\n')).at(-1)).toEndWith('; and 1 more')
  })

  test('what is no text format at all is named with line and column', () => {
    expect(messageFor('name = "net"')).toStartWith('Cannot read "net/config.pbtxt" line 1 column 6: ')
  })
})

test('whatever stands in a config of any fields, it is settings or an EdgeError', () => {
  const names = fc.constantFrom(
    ...'name platform backend max_batch_size input output dims data_type reshape shape optional version_policy latest'.split(
      ' ',
    ),
    ...'instance_group count kind gpus dynamic_batching preferred_batch_size optimization graph level cuda'.split(
      ' ',
    ),
    ...'execution_accelerators gpu_execution_accelerator parameters key value string_value __proto__ constructor'.split(
      ' ',
    ),
  )
  const scalar = fc.constantFrom(
    '1',
    '-1',
    '0.5',
    '"net"',
    '"cuda"',
    'true',
    'KIND_GPU',
    'TYPE_FP32',
    '[ ]',
    '"__proto__"',
  )
  const { message } = fc.letrec<{ message: string; field: string }>((tie) => ({
    message: fc.array(tie('field'), { maxLength: 6 }).map((fields) => fields.join(' ')),
    field: fc
      .tuple(
        names,
        fc.oneof(
          { maxDepth: 4 },
          scalar,
          tie('message').map((text) => `{ ${text} }`),
        ),
      )
      .map(([field, value]) => `${field}: ${value}`),
  }))
  fc.assert(
    fc.property(message, (text) => {
      try {
        expect(parse(text).model_file).toBe('model.onnx')
      } catch (error) {
        if (!(error instanceof EdgeError)) throw error
        expect(error.message).toMatch(/^Cannot use "net\/config\.pbtxt": line \d+: ./)
      }
    }),
    { seed: SEED, numRuns: 1000 },
  )
})
