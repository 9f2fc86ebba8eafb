/** Requests to every other route: the repository, shared memory, settings, metadata. */
import * as zoo from '../kit/model-zoo.ts'
import type { Random } from '../kit/random.ts'
import { mutateBytes, REGION } from './infer-cases.ts'
import { mutateTree, type Tree, writeTree } from './json-tree.ts'
import type { WireCase } from './wire-case.ts'

/** Models that may come and go while others are asked. */
export const SPARE = ['spare-0', 'spare-1'] as const

/** Key of the shared memory that is there, set by who made it. */
export const SHARED_KEY = { value: '/limpet-fuzz' }

const GETS = [
  '/v2',
  '/v2/models',
  '/v2/models/stats',
  '/v2/models/simple',
  '/v2/models/simple/versions/1',
  '/v2/models/simple/ready',
  '/v2/models/batched/config',
  '/v2/models/simple/stats',
  '/v2/models/spare-0',
  '/v2/models/spare-1/config',
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/logging',
  '/v2/trace/setting',
  '/v2/models/simple/trace/setting',
  '/v2/systemsharedmemory/status',
  `/v2/systemsharedmemory/region/${REGION.name}/status`,
  '/v2/cudasharedmemory/status',
  '/metrics',
  '/v2/openapi.json',
  '/docs',
  '/',
] as const

const METHODS = ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'get', 'BREW'] as const

export function routeCase(random: Random): WireCase {
  const { path, tree } = random.chance(0.3)
    ? { path: random.pick(GETS), tree: undefined }
    : controlRequest(random)
  const isChanged = random.chance(0.5)
  const changed = tree !== undefined && isChanged ? mutateTree(random, tree) : tree
  const json = changed === undefined ? new Uint8Array(0) : Buffer.from(writeTree(changed))
  const usual = tree === undefined ? 'GET' : 'POST'
  return {
    kind: path.includes('/repository/') ? 'repository' : tree === undefined ? 'read' : 'control',
    method: random.chance(0.06) ? random.pick(METHODS) : usual,
    path: random.chance(0.04) ? mutatePath(random, path) : path,
    headers: random.chance(0.05) ? [oddHeader(random)] : [],
    json: mutateBytes(random, json, isChanged ? 0.1 : 0),
    binary: new Uint8Array(0),
    headerLength: undefined,
    encoding: 'none',
    framing: 'length',
    salt: random.below(2 ** 31),
    isGood: false,
    isEcho: false,
  }
}

function mutatePath(random: Random, path: string): string {
  const bytes = Buffer.from(mutateBytes(random, Buffer.from(path.slice(1)), 1))
  return `/${bytes.toString('latin1').replaceAll(/[\0-\x20\x7f-\xff]/g, (byte) => encodeURIComponent(byte))}`
}

function oddHeader(random: Random): readonly [string, string] {
  return random.pick([
    ['X-Long', 'x'.repeat(random.pick([100, 9_000, 20_000, 70_000]))],
    ['Bad Name', 'x'],
    ['X-Noise', '\u00ff\u0001'],
    ['Content-Type', 'multipart/form-data; boundary=x'],
    ['Expect', random.pick(['100-continue', '200-maybe'])],
    ['Connection', random.pick(['close', 'upgrade', 'keep-alive, close'])],
    ['Upgrade', 'h2c'],
    ['Transfer-Encoding', random.pick(['identity', 'gzip, chunked', 'chunked, chunked'])],
    ['Host', random.pick(['', 'a b', '[::1', 'x'.repeat(2_000)])],
    ['Range', 'bytes=0-1'],
  ] as const)
}

function controlRequest(random: Random): { path: string; tree: Tree } {
  const model = random.pick([...SPARE, 'sent-0', 'sent-1', 'no-such'])
  switch (random.below(8)) {
    case 0:
      return { path: '/v2/repository/index', tree: { ready: random.chance(0.5) } }
    case 1:
      return { path: `/v2/repository/models/${model}/unload`, tree: unloadTree(random) }
    case 2:
      return { path: `/v2/repository/models/${model}/load`, tree: {} }
    case 3:
    case 4:
      return { path: `/v2/repository/models/${model}/load`, tree: { parameters: loadParameters(random) } }
    case 5:
      return { path: random.pick(['/v2/logging', '/v2/trace/setting']), tree: settingsTree(random) }
    default:
      return sharedRequest(random)
  }
}

function unloadTree(random: Random): Tree {
  return random.chance(0.5) ? {} : { parameters: { unload_dependents: random.pick([true, false, 1]) } }
}

function settingsTree(random: Random): Tree {
  return {
    [random.pick(['log_info', 'log_warning', 'log_error'])]: random.pick([true, false, 1]),
    [random.pick(['log_format', 'trace_level', 'trace_rate', 'log_file'])]: random.pick([
      '',
      'ISO8601',
      ['OFF'],
      '1',
    ]),
  }
}

/** The own region stays: good requests are not to depend on what others do. */
function sharedRequest(random: Random): { path: string; tree: Tree } {
  const region = random.pick(['a', 'b', 'c', '%00', 'x'.repeat(300)])
  const verb = random.pick(['register', 'register', 'unregister'])
  const key = random.pick([
    SHARED_KEY.value,
    SHARED_KEY.value,
    '/no-such',
    '/..',
    '/../etc/passwd',
    '',
    '/a/b',
    7,
  ])
  const tree = {
    key,
    offset: random.pick([0, 0, 16, REGION.bytes, -1, 2 ** 53]),
    byte_size: random.pick([16, REGION.bytes, 0, REGION.bytes + 1, 2 ** 53, '16']),
  }
  const kind = random.chance(0.85) ? 'system' : 'cuda'
  return { path: `/v2/${kind}sharedmemory/region/${region}/${verb}`, tree: verb === 'register' ? tree : {} }
}

const MODELS = [zoo.simple(), zoo.identity('FLOAT', ['batch', 4]), zoo.identity('INT64')]

/**
 * NOTE: model files are whole, cut short or empty, but no bits of them are changed: what those do within ONNX Runtime is
 * not this program's to decide.
 */
function loadParameters(random: Random): Tree {
  const parameters: Record<string, Tree> = {}
  if (random.chance(0.9)) parameters['config'] = configText(random)
  for (let files = random.pick([0, 1, 1, 2]); files > 0; files -= 1) {
    const path = random.pick([
      '1/model.onnx',
      '2/model.onnx',
      '1/other.onnx',
      '../x',
      '/x',
      '1/../../x',
      '',
      '1/',
      'labels.txt',
    ])
    const onnx = random.pick(MODELS)
    const bytes = random.chance(0.8) ? onnx : onnx.subarray(0, random.below(onnx.length))
    const text = Buffer.from(bytes).toString('base64')
    parameters[`file:${path}`] = random.chance(0.9)
      ? text
      : random.pick([text.slice(1), `${text}=`, '*', 7, text.slice(0, -2)])
  }
  return parameters
}

/** A ModelConfig, good or with something wrong about it. */
export function configTree(random: Random): Record<string, Tree> {
  const all: Record<string, Tree> = {
    name: random.pick(['spare-0', 'sent-0', 'other', '']),
    platform: random.pick(['onnxruntime_onnx', 'tensorrt_plan']),
    backend: random.pick(['onnxruntime', 'python', '']),
    max_batch_size: random.pick([0, 8, 4, -1, 70_000]),
    version_policy: random.pick([
      { all: {} },
      { latest: { num_versions: 1 } },
      { specific: { versions: ['1'] } },
    ]),
    input: [
      {
        name: 'INPUT0',
        data_type: random.pick(['TYPE_FP32', 'TYPE_INT32', 'FP32', 7]),
        dims: random.pick([['4'], [4], [-1], [16], []]),
      },
    ],
    output: [{ name: 'OUTPUT0', data_type: 'TYPE_FP32', dims: ['4'], label_filename: 'labels.txt' }],
    instance_group: [
      { count: random.pick([1, 2, 0, 1_000]), kind: random.pick(['KIND_CPU', 'KIND_GPU', 'KIND_AUTO']) },
    ],
    dynamic_batching: {
      preferred_batch_size: random.pick([[4, 8], [0], []]),
      max_queue_delay_microseconds: random.pick([100, '100', -1]),
      preserve_ordering: true,
      priority_levels: random.pick([0, 2, '3']),
      default_priority_level: random.pick([0, 1, 9]),
    },
    optimization: { graph: { level: random.pick([-1, 0, 1, 5]) } },
    parameters: { intra_op_thread_count: { string_value: random.pick(['1', '2', 'x', '-1']) } },
    default_model_filename: random.pick(['model.onnx', 'other.onnx', '../model.onnx']),
    sequence_batching: {
      max_sequence_idle_microseconds: random.pick([1_000_000, 0, -1, '5']),
      ...random.pick([
        { direct: {} },
        { oldest: { max_candidate_sequences: random.pick([4, 0, 10 ** 9]) } },
        {},
      ]),
      control_input: random.pick([
        [],
        [{ name: 'S', control: [{ kind: 'CONTROL_SEQUENCE_START', fp32_false_true: [0, 1] }] }],
        [{ name: 'S', control: [] }],
      ]),
      state: random.pick([
        [],
        [
          {
            input_name: 'INPUT0',
            output_name: 'OUTPUT0',
            data_type: 'TYPE_FP32',
            dims: [random.pick([4, -1, 0])],
          },
        ],
      ]),
    },
    ensemble_scheduling: { step: [{ model_name: 'simple', model_version: -1 }] },
    response_cache: { enable: true },
  }
  const chosen = Object.entries(all).filter(([key]) =>
    random.chance(/ensemble|cache/.test(key) ? 0.05 : /sequence/.test(key) ? 0.15 : 0.3),
  )
  return Object.fromEntries(chosen)
}

function configText(random: Random): Tree {
  const tree = configTree(random)
  const text = writeTree(random.chance(0.4) ? mutateTree(random, tree) : tree)
  return random.chance(0.9) ? text : Buffer.from(mutateBytes(random, Buffer.from(text), 1)).toString('latin1')
}
