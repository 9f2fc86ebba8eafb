import { basename, dirname } from 'node:path'
import type { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { parseConfigJson } from './config-json.ts'
import { parsePbtxt } from './pbtxt.ts'
import { chooseProviders } from './triton/accelerators.ts'
import { readBatching } from './triton/batching.ts'
import { readEnsemble } from './triton/ensemble.ts'
import { readInstances } from './triton/instances.ts'
import { readOptimization } from './triton/optimization.ts'
import { readParameters } from './triton/parameters.ts'
import { MessageReader, Problems, textKey } from './triton/reader.ts'
import { refuseImpossible } from './triton/refusals.ts'
import { readSequences } from './triton/sequences.ts'
import { readInput, readOutput } from './triton/tensors.ts'
import { readWarmup } from './triton/warmup.ts'

/** Triton's words for settings whose bounds the schema of `config.toml` holds. */
const WORDS: Readonly<Record<string, string>> = {
  version_policy: 'version_policy',
  model_file: 'default_model_filename',
  max_batch_size: 'max_batch_size',
  instances: 'instance_group',
  warmup: 'model_warmup',
  'sequences.candidates_max': 'sequence_batching.oldest.max_candidate_sequences',
  'sequences.preferred_batch_sizes': 'sequence_batching.oldest.preferred_batch_size',
  'sequences.slot_utilization_min': 'sequence_batching.direct.minimum_slot_utilization',
  'sequences.idle_us_max': 'sequence_batching.max_sequence_idle_microseconds',
  'sequences.controls': 'sequence_batching.control_input',
  'sequences.states': 'sequence_batching.state',
  sequences: 'sequence_batching',
  'batching.preferred_batch_sizes': 'dynamic_batching.preferred_batch_size',
  'batching.queue_delay_us_max': 'dynamic_batching.max_queue_delay_microseconds',
  'batching.priority_levels': 'dynamic_batching.priority_levels',
  'batching.default_priority_level': 'dynamic_batching.default_priority_level',
  'batching.default_queue_policy': 'dynamic_batching.default_queue_policy',
  'batching.priority_queue_policy': 'dynamic_batching.priority_queue_policy',
  batching: 'dynamic_batching',
  session: 'optimization',
  ensemble: 'ensemble_scheduling',
}

/** Reads Triton's `config.pbtxt`, or its JSON, against a schema in the words of `config.toml`. Everything wrong is named at once. */
export function parseTritonConfig<Schema extends z.ZodType>(
  schema: Schema,
  file: { readonly path: string; readonly text: string },
): z.infer<Schema> {
  const problems = new Problems()
  const isJson = file.path.endsWith('.json')
  const at = { path: '', line: isJson ? 0 : 1, problems }
  const config = new MessageReader(isJson ? parseConfigJson(file) : parsePbtxt(file), at)
  const parsed = schema.safeParse(readConfig(config, basename(dirname(file.path))))
  for (const { path, message } of parsed.error?.issues ?? []) {
    config.refuseAt(wordOf(path.join('.')), message)
  }
  const found = problems.list()
  if (parsed.success && found.length === 0) return parsed.data
  throw new EdgeError('config_invalid', `Cannot use "${file.path}": ${found.join('; ')}`)
}

/** Its words for a setting of ours, or for what it stands in. */
function wordOf(path: string): string {
  const step = /^ensemble\.steps\.\d+/.exec(path)?.[0]
  if (step !== undefined) return step.replace('ensemble.steps', 'ensemble_scheduling.step')
  const known = Object.keys(WORDS).find((own) => path === own || path.startsWith(`${own}.`))
  return known === undefined ? path : (WORDS[known] ?? known)
}

function readConfig(config: MessageReader, folder: string) {
  checkIdentity(config, folder)
  refuseImpossible(config)
  const batching = config.message('dynamic_batching')
  const sequences = config.message('sequence_batching')
  const { graphLevel, accelerators } = readOptimization(config.message('optimization'))
  const parameters = readParameters(config)
  const cache = config.message('response_cache')
  const isCached = cache?.boolean('enable')
  cache?.finish()
  const instances = readInstances(config)
  const providers = chooseProviders(config, { instances, accelerators, cuda: parameters.cuda })
  const settings = {
    version_policy: readVersionPolicy(config.message('version_policy')),
    version_labels: readVersionLabels(config),
    model_file: config.text('default_model_filename') || undefined,
    max_batch_size: config.integer('max_batch_size'),
    batching: batching === undefined ? undefined : readBatching(batching),
    sequences: sequences === undefined ? undefined : readSequences(sequences),
    instances: instances.count,
    response_cache: isCached,
    ensemble: readEnsemble(config.message('ensemble_scheduling')),
    inputs: config.messages('input').map(readInput),
    outputs: config.messages('output').map(readOutput),
    warmup: config.messages('model_warmup').map(readWarmup),
    session: {
      ...parameters.session,
      providers,
      graph_optimization: graphLevel,
      config_entries: parameters.configEntries,
    },
    ...parameters.life,
    metadata: parameters.metadata,
  }
  config.finish()
  return settings
}

const IDENTITY = {
  platform: 'onnxruntime_onnx',
  backend: 'onnxruntime',
  runtime: 'libtriton_onnxruntime.so',
}

/** An ensemble has nothing that runs it. */
const ENSEMBLE_IDENTITY = { platform: 'ensemble', backend: '', runtime: '' }

function checkIdentity(config: MessageReader, folder: string): void {
  const name = config.text('name') || folder
  if (name !== folder) config.refuse('name', `is "${name}", expected that of the folder, "${folder}"`)
  const isEnsemble = config.has('ensemble_scheduling')
  for (const [field, expected] of Object.entries(isEnsemble ? ENSEMBLE_IDENTITY : IDENTITY)) {
    const value = config.text(field) || expected
    if (value === expected) continue
    const why = isEnsemble ? 'there is ensemble_scheduling' : 'only ONNX models are served'
    config.refuse(field, `is "${value}", expected "${expected}": ${why}`)
  }
}

/** As TensorFlow Serving has them in its model config; Triton has none. */
function readVersionLabels(config: MessageReader) {
  const value = (entry: MessageReader) => entry.integer('value', { min: 1, max: Number.MAX_SAFE_INTEGER })
  const labels = config.entries('version_labels', { key: textKey, value })
  return Object.fromEntries([...labels].map(([label, version]) => [label, String(version)]))
}

function readVersionPolicy(policy: MessageReader | undefined) {
  if (policy === undefined) return undefined
  const [latest, all, specific] = [
    policy.message('latest'),
    policy.message('all'),
    policy.message('specific'),
  ]
  const count = latest?.integer('num_versions', { min: 0, max: 1000 })
  const versions = specific?.integers('versions', { min: 1, max: Number.MAX_SAFE_INTEGER }).map(String)
  if (specific !== undefined && !specific.has('versions')) specific.refuse('versions', 'are missing')
  for (const message of [latest, all, specific]) message?.finish()
  policy.finish()
  if ([latest, all, specific].filter((choice) => choice !== undefined).length > 1) {
    policy.refuse('', 'has to be one of latest, all and specific')
  }
  // Nothing is 1, and in Protocol Buffers 0 is nothing.
  if (latest !== undefined) return { latest: count || 1 }
  if (all !== undefined) return 'all'
  return versions?.length === 0 ? undefined : versions
}
