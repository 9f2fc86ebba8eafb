import type { Context } from 'hono'
import type { Lane } from '../inference/lane.ts'
import type { Lanes } from '../inference/lanes.ts'
import { assert } from '../kit/assert.ts'
import type { TensorSpec } from '../runtime/backend.ts'
import { sequenceConfig } from './sequence-config.ts'
import { type ConfiguredWarmup, dataType, warmupConfig } from './warmup-config.ts'

/** What the config answer takes from a model's settings, under their names. */
export interface ConfiguredModel {
  readonly version_policy: 'latest' | 'all' | { readonly latest: number } | readonly string[]
  readonly version_labels: Readonly<Record<string, string>>
  readonly model_file: string
  readonly max_batch_size: number
  readonly batching?: ConfiguredBatching | undefined
  readonly instances: number
  readonly response_cache: boolean
  readonly ensemble?: ConfiguredEnsemble | undefined
  readonly inputs: readonly (ConfiguredTensor & { readonly format: 'none' | 'nhwc' | 'nchw' })[]
  readonly outputs: readonly (ConfiguredTensor & { readonly label_file?: string | undefined })[]
  readonly warmup: readonly ConfiguredWarmup[]
  readonly session: { readonly graph_optimization: 'none' | 'basic' | 'extended' | 'all' }
  readonly swap: 'auto' | 'keep_both' | 'drain'
  readonly pinned: boolean
  readonly on_demand: boolean
  readonly metadata: Readonly<Record<string, string>>
}

interface ConfiguredTensor {
  readonly name: string
  readonly reshape?: readonly number[] | undefined
}

interface ConfiguredEnsemble {
  readonly steps: readonly {
    readonly model: string
    readonly version?: string | undefined
    readonly inputs: Readonly<Record<string, string>>
    readonly outputs: Readonly<Record<string, string>>
  }[]
}

interface ConfiguredBatching {
  readonly preferred_batch_sizes: readonly number[]
  readonly queue_delay_us_max: number
  readonly preserve_ordering: boolean
  readonly priority_levels: number
  readonly default_priority_level: number
  readonly default_queue_policy: ConfiguredPolicy
  readonly priority_queue_policy: Readonly<Record<string, ConfiguredPolicy>>
}

interface ConfiguredPolicy {
  readonly timeout_us: number
  readonly timeout_action: 'reject' | 'delay'
  readonly may_override_timeout: boolean
  readonly items_max: number
}

/** `GET /v2/models/NAME[/versions/VERSION]/config`, for versions that are served. */
export function answerConfig(
  c: Context,
  lanes: Lanes,
  { configured }: { configured: (model: string) => ConfiguredModel | undefined },
): Response {
  const lane = lanes.find(c.req.param('model') ?? '', c.req.param('version'))
  const settings = configured(lane.model)
  assert(settings !== undefined, `the settings of "${lane.model}" were read before it was loaded`)
  return c.json(modelConfig(lane, settings))
}

/**
 * A model's settings as Triton's `ModelConfig` in JSON, completed from the model itself. Clients take the mere presence
 * of `sequence_batching`, `dynamic_batching` or `response_cache` for a yes: what is not set is not there.
 */
export function modelConfig(lane: Lane, settings: ConfiguredModel) {
  const { signature } = lane.session
  const hasBatch = settings.max_batch_size > 0
  return {
    name: lane.model,
    platform: lane.platform,
    backend: settings.ensemble === undefined ? 'onnxruntime' : '',
    runtime: '',
    version_policy: versionPolicy(settings.version_policy),
    ...versionLabels(settings.version_labels),
    max_batch_size: settings.max_batch_size,
    input: signature.inputs.map((spec) => inputConfig(spec, settings, hasBatch)),
    output: signature.outputs.map((spec) => outputConfig(spec, settings, hasBatch)),
    batch_input: [],
    batch_output: [],
    optimization: optimization(settings),
    ...(settings.batching === undefined ? {} : { dynamic_batching: dynamicBatching(settings.batching) }),
    ...(lane.sequences === undefined
      ? {}
      : { sequence_batching: sequenceConfig(lane.sequences.model, lane.scheduling) }),
    ...(settings.response_cache ? { response_cache: { enable: true } } : {}),
    ...(settings.ensemble === undefined ? {} : { ensemble_scheduling: scheduleSteps(settings.ensemble) }),
    instance_group: settings.ensemble === undefined ? [instanceGroup(lane, settings)] : [],
    default_model_filename: settings.model_file,
    cc_model_filenames: {},
    metric_tags: {},
    parameters: parameters(settings),
    model_warmup: settings.warmup.map((sample) => warmupConfig(sample, lane)),
    model_transaction_policy: { decoupled: false },
  }
}

/** Words about the model, and what Triton has no field for, where it is not as it is anyway. */
function parameters({ metadata, swap, pinned, on_demand }: ConfiguredModel) {
  const life = {
    ...(swap === 'auto' ? {} : { 'limpet.swap': swap }),
    ...(pinned ? { 'limpet.pinned': 'true' } : {}),
    ...(on_demand ? { 'limpet.on_demand': 'true' } : {}),
  }
  const entries = Object.entries({ ...life, ...metadata })
  return Object.fromEntries(entries.map(([key, value]) => [key, { string_value: value }]))
}

/** Numbers are int64 in Triton; a version that is none can only be said as text. */
function versionPolicy(policy: ConfiguredModel['version_policy']) {
  if (policy === 'all') return { all: {} }
  if (policy === 'latest') return { latest: { num_versions: 1 } }
  if ('latest' in policy) return { latest: { num_versions: policy.latest } }
  return { specific: { versions: policy.map(toNumber) } }
}

/** Not Triton's: there where it is set. */
function versionLabels(labels: ConfiguredModel['version_labels']) {
  const entries = Object.entries(labels).map(([label, version]) => [label, toNumber(version)])
  return entries.length === 0 ? {} : { version_labels: Object.fromEntries(entries) }
}

function toNumber(version: string): number | string {
  return /^[1-9]\d{0,14}$/.test(version) ? Number(version) : version
}

function inputConfig(spec: TensorSpec, settings: ConfiguredModel, hasBatch: boolean) {
  const input = settings.inputs.find(({ name }) => name === spec.name)
  return {
    name: spec.name,
    data_type: dataType(spec.datatype),
    format: `FORMAT_${(input?.format ?? 'none').toUpperCase()}`,
    dims: dimsOf(spec, hasBatch),
    ...reshapeConfig(input),
    is_shape_tensor: false,
    allow_ragged_batch: false,
    optional: spec.isOptional,
    is_non_linear_format_io: false,
  }
}

function outputConfig(spec: TensorSpec, settings: ConfiguredModel, hasBatch: boolean) {
  const output = settings.outputs.find(({ name }) => name === spec.name)
  return {
    name: spec.name,
    data_type: dataType(spec.datatype),
    dims: dimsOf(spec, hasBatch),
    ...reshapeConfig(output),
    label_filename: output?.label_file ?? '',
    is_shape_tensor: false,
    is_non_linear_format_io: false,
  }
}

function reshapeConfig(tensor: ConfiguredTensor | undefined) {
  return tensor?.reshape === undefined ? {} : { reshape: { shape: tensor.reshape } }
}

/** As the metadata have the shape: a client puts the batch before it and expects just that. */
function dimsOf({ shape = [] }: TensorSpec, hasBatch: boolean): readonly number[] {
  return hasBatch ? shape.slice(1) : shape
}

const GRAPH_LEVELS = { none: 2, basic: -1, extended: 1, all: 0 } as const

function optimization({ session }: ConfiguredModel) {
  return {
    graph: { level: GRAPH_LEVELS[session.graph_optimization] },
    priority: 'PRIORITY_DEFAULT',
    gather_kernel_buffer_threshold: 0,
    eager_batching: false,
  }
}

function scheduleSteps({ steps }: ConfiguredEnsemble) {
  return {
    step: steps.map(({ model, version, inputs, outputs }) => ({
      model_name: model,
      model_version: version === undefined ? -1 : toNumber(version),
      input_map: inputs,
      output_map: outputs,
      model_namespace: '',
    })),
  }
}

function dynamicBatching(batching: ConfiguredBatching) {
  return {
    preferred_batch_size: batching.preferred_batch_sizes,
    max_queue_delay_microseconds: batching.queue_delay_us_max,
    preserve_ordering: batching.preserve_ordering,
    priority_levels: batching.priority_levels,
    default_priority_level: batching.default_priority_level,
    default_queue_policy: queuePolicy(batching.default_queue_policy),
    priority_queue_policy: Object.fromEntries(
      Object.entries(batching.priority_queue_policy).map(([level, policy]) => [level, queuePolicy(policy)]),
    ),
  }
}

function queuePolicy(policy: ConfiguredPolicy) {
  return {
    timeout_action: policy.timeout_action.toUpperCase(),
    default_timeout_microseconds: policy.timeout_us,
    allow_timeout_override: policy.may_override_timeout,
    max_queue_size: policy.items_max,
  }
}

/** Where the session runs, not what was wished for. */
function instanceGroup(lane: Lane, { instances }: ConfiguredModel) {
  const isOnGpu = lane.session.providers.some((name) => /cuda|tensorrt/i.test(name))
  return {
    name: `${lane.model}_0`,
    kind: isOnGpu ? 'KIND_GPU' : 'KIND_CPU',
    // Without a number of its own a model takes all run threads, which no client needs to know.
    count: Math.max(1, instances),
    gpus: isOnGpu ? [0] : [],
    secondary_devices: [],
    profile: [],
    passive: false,
    host_policy: '',
  }
}
