import { describe, expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { EdgeError } from '../../src/kit/errors.ts'

const parse = (text: string) => parseModelSettings({ path: 'simple/config.toml', text })
const messageFor = (text: string): string => {
  try {
    parse(text)
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError)
    expect(error).toMatchObject({ code: 'config_invalid' })
    return (error as Error).message
  }
  throw new Error(`Nothing refuses ${text}`)
}

test('without a file everything has its default, and so with an empty one', () => {
  const defaults = {
    version_policy: 'latest',
    version_labels: {},
    model_file: 'model.onnx',
    max_batch_size: 0,
    instances: 0,
    response_cache: false,
    inputs: [],
    outputs: [],
    warmup: [],
    swap: 'auto',
    pinned: false,
    on_demand: false,
    session: {
      intra_op_threads: 1,
      inter_op_threads: 1,
      execution_mode: 'sequential',
      graph_optimization: 'all',
      engine_cache: true,
      memory_arena: true,
      memory_pattern: true,
      free_dimensions: {},
      config_entries: {},
    },
    metadata: {},
  }
  expect(parseModelSettings(undefined) as unknown).toEqual(defaults)
  expect(parse('') as unknown).toEqual(defaults)
  expect(parse('[session]') as unknown).toEqual(defaults)
  expect(Object.isFrozen(parseModelSettings(undefined))).toBe(true)
  expect(Object.isFrozen(parse(''))).toBe(true)
})

describe('warmup', () => {
  test('a number is so many runs on zeros, and 0 is none', () => {
    expect(parse('warmup = 3').warmup).toEqual([{ name: 'zeros', count: 3, batch_size: 1, inputs: {} }])
    expect(parse('warmup = 0').warmup).toEqual([])
  })

  test('a sample says what its inputs hold', () => {
    const input = { datatype: 'FP32', dims: [3] }
    expect(
      parse(`[[warmup]]
        name = "a"
        batch_size = 2
        inputs.x = { datatype = "FP32", dims = [3], content = "random" }
        inputs.y = { datatype = "FP32", dims = [3], file = "y.bin" }`).warmup,
    ).toEqual([
      {
        name: 'a',
        count: 1,
        batch_size: 2,
        inputs: { x: { ...input, content: 'random' }, y: { ...input, file: 'y.bin' } },
      },
    ])
  })

  test.each([
    ['warmup = -1', 'warmup'],
    ['warmup = 10001', 'warmup'],
    ['warmup = 1.5', 'warmup'],
    ['[[warmup]]\nname = ""', 'warmup'],
    ['[[warmup]]\nname = "a"\nbatch_size = 0', 'warmup'],
    ['[[warmup]]\nname = "a"\ninputs.x = { datatype = "FP32", dims = [1] }', 'expected one of content'],
    ['[[warmup]]\nname = "a"\ninputs.x = { datatype = "FP32", dims = [0], content = "zeros" }', 'warmup'],
    [
      '[[warmup]]\nname = "a"\ninputs.x = { datatype = "FP32", dims = [1], content = "zeros", file = "f" }',
      'expected one of content',
    ],
  ])('%s is refused', (toml, what) => {
    expect(messageFor(toml)).toContain(what)
  })
})

test.each([
  ['{ stable = "1", "v1.x" = "2024-06" }', { stable: '1', 'v1.x': '2024-06' }],
  ['{}', {}],
])('version_labels = %s is taken', (toml, labels) => {
  expect(parse(`version_labels = ${toml}`).version_labels).toEqual(labels as never)
})

test.each(['{ "a/b" = "1" }', '{ "" = "1" }', '{ a = 1 }', '{ a = "" }', '["a"]'])(
  'version_labels = %s is refused',
  (toml) => {
    expect(messageFor(`version_labels = ${toml}`)).toContain('→ at version_labels')
  },
)

describe('version_policy', () => {
  test.each([
    ['"latest"', 'latest'],
    ['"all"', 'all'],
    ['["1", "2024-06"]', ['1', '2024-06']],
    ['{ latest = 1 }', { latest: 1 }],
    ['{ latest = 1000 }', { latest: 1000 }],
  ])('%s is taken', (toml, policy) => {
    expect(parse(`version_policy = ${toml}`).version_policy as unknown).toEqual(policy)
  })

  test.each(['"newest"', '[]', '[""]', '[1]', '1', '{ latest = 0 }', '{ latest = 1001 }', '{}'])(
    '%s is refused',
    (toml) => {
      expect(messageFor(`version_policy = ${toml}`)).toContain('→ at version_policy')
    },
  )
})

/** Key, and the least and the most it takes. */
describe.each([
  ['max_batch_size', 0, 65_536],
  ['instances', 0, 256],
  ['batching.queue_delay_us_max', 0, 3_600_000_000],
  ['batching.priority_levels', 0, 64],
  ['batching.default_priority_level', 1, 64],
  ['batching.default_queue_policy.timeout_us', 0, 3_600_000_000],
  ['batching.default_queue_policy.items_max', 0, 65_536],
  ['batching.priority_queue_policy.1.timeout_us', 0, 3_600_000_000],
])('%s', (key, min, max) => {
  // What it needs beside it, so that nothing but its own bound refuses it.
  const beside = key.startsWith('batching')
    ? 'max_batch_size = 8\nbatching.priority_levels = 64\nbatching.default_priority_level = 1\n'
    : ''
  const line = (value: number) =>
    `${beside
      .split('\n')
      .filter((other) => !other.startsWith(`${key} `))
      .join('\n')}${key} = ${value}`

  test.each([min, max])('%d is taken', (value) => {
    const isUnleveled = key === 'batching.priority_levels' && value === 0
    const settings: object = parse(isUnleveled ? `max_batch_size = 8\n${key} = 0` : line(value))
    expect(settings).toHaveProperty(key, value)
  })

  test.each([min - 1, max + 1, 0.5])('%d is refused', (value) => {
    expect(messageFor(line(value))).toContain(`→ at ${key}`)
  })
})

test.each(['model.onnx', 'a b.ort'])('%s is a file for a model', (file) => {
  expect(parse(`model_file = "${file}"`).model_file).toBe(file)
})

test.each(['', '../model.onnx', '/etc/model', 'a\\\\b'])('"%s" is none', (file) => {
  expect(messageFor(`model_file = "${file}"`)).toContain('→ at model_file')
})

test('batching has the defaults of all that is not named', () => {
  const { batching } = parse(
    'max_batch_size = 8\n[batching]\npriority_levels = 2\ndefault_priority_level = 1\n[batching.priority_queue_policy.2]\nitems_max = 5',
  )
  const policy = { timeout_us: 0, timeout_action: 'reject', may_override_timeout: false, items_max: 0 }
  expect(batching as unknown).toEqual({
    preferred_batch_sizes: [],
    queue_delay_us_max: 0,
    preserve_ordering: false,
    priority_levels: 2,
    default_priority_level: 1,
    default_queue_policy: policy,
    priority_queue_policy: { '2': { ...policy, items_max: 5 } },
  })
})

describe('session', () => {
  test('a provider is a name, or a name with options', () => {
    const { session } = parse(
      '[session]\nproviders = ["tensorrt", { name = "cuda", options = { device_id = 1, use = true, not = false, arena = "x" } }, { name = "cpu" }]',
    )
    expect(session.providers as unknown).toEqual([
      { name: 'tensorrt', options: {} },
      { name: 'cuda', options: { device_id: '1', use: '1', not: '0', arena: 'x' } },
      { name: 'cpu', options: {} },
    ])
  })

  test('entries become text, as ONNX Runtime wants them', () => {
    const { session } = parse(
      '[session.config_entries]\n"session.disable_prepacking" = true\n"session.load_model_format" = "ORT"\n"ep.x" = 0.5',
    )
    expect(session.config_entries).toEqual({
      'session.disable_prepacking': '1',
      'session.load_model_format': 'ORT',
      'ep.x': '0.5',
    })
  })

  test.each(['intra_op_threads', 'inter_op_threads'])('%s is 0 to 256', (key) => {
    for (const value of [0, 256]) {
      const session: object = parse(`[session]\n${key} = ${value}`).session
      expect(session).toHaveProperty(key, value)
    }
    for (const value of [-1, 257, 1.5]) {
      expect(messageFor(`[session]\n${key} = ${value}`)).toContain(`session.${key}`)
    }
  })

  test('a free dimension is at least 1', () => {
    expect(parse('session.free_dimensions.batch = 1').session.free_dimensions).toEqual({ batch: 1 })
    expect(messageFor('session.free_dimensions.batch = 0')).toContain('session.free_dimensions.batch')
  })

  test.each([
    'execution_mode = "fast"',
    'graph_optimization = "most"',
    'memory_arena = 1',
    'memory_pattern = "yes"',
    'providers = "cpu"',
    'providers = [{ options = {} }]',
    'providers = [{ name = "cuda", options = { a = [] } }]',
    'config_entries = { a = {} }',
  ])('%s is refused', (line) => {
    expect(messageFor(`[session]\n${line}`)).toContain(`session.${line.split(' ')[0]}`)
  })
})

test('all mistakes are named at once, with the file', () => {
  const message = messageFor('policy = 1\n[session]\nthreads = 2\nintra_op_threads = -1\nexecution_mode = ""')
  expect(message).toStartWith('Cannot use "simple/config.toml": ')
  for (const mistake of ['"policy"', '"threads"', 'session.intra_op_threads', 'session.execution_mode'])
    expect(message).toContain(mistake)
})

test('a mistake of syntax is named with line and column, on one line', () => {
  const message = messageFor('[session]\nmemory_arena = yes\n')
  expect(message).toStartWith('Cannot read "simple/config.toml" line 2 column 16: ')
  expect(message).not.toContain('\n')
})

describe('client hints', () => {
  test('an image has the defaults of all that is not named', () => {
    const { client } = parse('[client.inputs.x]\nfrom = "image"\n[client.outputs]')
    expect(client as unknown).toEqual({
      inputs: {
        x: {
          from: 'image',
          fit: 'stretch',
          longest_side_max: 960,
          multiple_of: 1,
          channels: 'rgb',
          layout: 'nchw',
          mean: [0, 0, 0],
          std: [1, 1, 1],
        },
      },
      outputs: {},
    })
  })

  test.each([
    ['inputs.x = { from = "video" }', 'client.inputs.x'],
    ['inputs.x = { from = "image", widht = 3 }', '"widht"'],
    ['inputs.x = { from = "image", width = 0 }', 'client.inputs.x.width'],
    ['inputs.x = { from = "image", width = 8193 }', 'client.inputs.x.width'],
    ['inputs.x = { from = "audio", sample_rate_hz = 999, window_samples = 1 }', 'sample_rate_hz'],
    ['inputs.x = { from = "audio", sample_rate_hz = 16000, window_samples = 1000001 }', 'window_samples'],
    ['inputs.x = { from = "value", value = [] }', 'client.inputs.x.value'],
    ['outputs.y = { as = "classes", labels = [] }', 'client.outputs.y.labels'],
    ['outputs.y = { as = "boxes", label = "a", threshold = 1.1 }', 'client.outputs.y.threshold'],
  ])('%s is refused at its place', (line, place) => {
    const other = line.startsWith('inputs') ? 'outputs = {}' : 'inputs = {}'
    expect(messageFor(`[client]\n${other}\n${line}`)).toContain(place)
  })
})
