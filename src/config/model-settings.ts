import { z } from 'zod'
import { BatchingSettings } from './batching-settings.ts'
import { CaptureSettings } from './capture-settings.ts'
import { ClientHints } from './client-hints.ts'
import { DriftSettings } from './drift-settings.ts'
import { ensembleIssues } from './ensemble-check.ts'
import { EnsembleSettings } from './ensemble-settings.ts'
import { reshapeProblem } from './reshape.ts'
import { SequenceSettings, sequenceProblems } from './sequence-settings.ts'
import { SessionSettings } from './session-settings.ts'
import { parseToml } from './toml.ts'
import { parseTritonConfig } from './triton-config.ts'
import { WarmupSettings } from './warmup-settings.ts'

const TensorSettings = z.strictObject({
  name: z.string().min(1),
  /** As the Open Inference Protocol names it; has to be the model's. */
  datatype: z.string().min(1),
  /** Without the batch dimension when `max_batch_size` is above 0; -1 leaves one open. */
  dims: z.array(z.int().min(-1)),
  /** The shape that the model has where clients have `dims`. */
  reshape: z.array(z.int().min(-1)).optional(),
})

type ReshapeContext = { value: z.infer<typeof TensorSettings>; issues: z.core.$ZodRawIssue[] }

function checkReshape({ value, issues }: ReshapeContext): void {
  const problem = value.reshape && reshapeProblem(value.dims, value.reshape)
  if (problem !== undefined)
    issues.push({ code: 'custom', path: ['reshape'], message: problem, input: value })
}

const InputSettings = TensorSettings.extend({
  /** How an image lies in the tensor; clients read it from the model's config, nothing here acts on it. */
  format: z.enum(['none', 'nhwc', 'nchw']).default('none'),
  /** May be left out of a request. */
  optional: z.boolean().default(false),
}).check(checkReshape)

const OutputSettings = TensorSettings.extend({
  /** A text file beside the config with a label a line, for the classification extension. */
  label_file: z.string().optional(),
}).check(checkReshape)

/** Stands in URLs where a version can. */
const LABEL = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** A model's `config.toml` or `config.pbtxt`, complete. Without a file everything has its default. */
const Fields = z.strictObject({
  /** "latest" is the newest one, or { latest = 2 } the two newest; "all"; or the versions by name. */
  version_policy: z
    .union([
      z.enum(['latest', 'all']),
      z.strictObject({ latest: z.int().min(1).max(1000) }),
      z.array(z.string().min(1)).min(1),
    ])
    .default('latest'),
  /** Names like "stable" and "canary" for versions, which are served whatever the policy says. */
  version_labels: z.record(z.string().regex(LABEL), z.string().min(1)).default({}),
  /** The file in a version's folder. */
  model_file: z
    .string()
    .regex(/^[^/\\]+$/)
    .default('model.onnx'),
  /** Requests that share a run, along the first dimension of every input and output. 0: each runs by itself. */
  max_batch_size: z.int().min(0).max(65_536).default(0),
  /** How requests are put together; without it a request is its own batch. Needs `max_batch_size` above 0. */
  batching: BatchingSettings.optional(),
  /** Requests that belong together and build on each other; in the place of `batching`. */
  sequences: SequenceSettings.optional(),
  /** Runs of one version at once; 0 takes one for each run thread. */
  instances: z.int().min(0).max(256).default(0),
  /** A request that was answered before is answered from memory, within the device's inference.cache_bytes_max. */
  response_cache: z.boolean().default(false),
  /** Other models that this one is made of, instead of a file. */
  ensemble: EnsembleSettings.optional(),
  /** What the person who wrote the config believes of the model; checked when it is loaded. */
  inputs: z.array(InputSettings).default([]),
  outputs: z.array(OutputSettings).default([]),
  /** What is run before a version is ready; a number is so many runs on zeros. */
  warmup: WarmupSettings,
  /** How a version takes the place of another: beside it, after it, or as the memory allows. */
  swap: z.enum(['auto', 'keep_both', 'drain']).default('auto'),
  /** Never let go so that another model fits into `models.memory_bytes_max`. */
  pinned: z.boolean().default(false),
  /** Loaded by the first request for it, not at the start, and again after it was let go for another. */
  on_demand: z.boolean().default(false),
  session: SessionSettings.prefault({}),
  /** Which requests are kept with their answers; none without it. */
  capture: CaptureSettings.optional(),
  /** What its numbers are like is summed up; not without it. */
  drift: DriftSettings.optional(),
  /** For `limpet infer`; the data plane only passes it on. */
  client: ClientHints.optional(),
  /** Free words about the model, passed on in its config. */
  metadata: z.record(z.string(), z.string()).default({}),
})

/** What is right by itself may still contradict the rest. */
export const ModelSettings = Fields.check((context) => {
  for (const problem of [...sequenceProblems(context.value), ...ensembleIssues(context.value)]) {
    context.issues.push({ code: 'custom', ...problem, input: context.value })
  }
  const { batching, max_batch_size } = context.value
  if (batching === undefined) return
  const refuse = (field: string, message: string) => {
    context.issues.push({ code: 'custom', path: ['batching', field], message, input: context.value })
  }
  if (max_batch_size === 0) {
    context.issues.push({
      code: 'custom',
      path: ['max_batch_size'],
      message: 'batching needs a max_batch_size above 0',
      input: context.value,
    })
    return
  }
  const large = batching.preferred_batch_sizes.filter((size) => size > max_batch_size)
  if (large.length > 0)
    refuse('preferred_batch_sizes', `${large.join(', ')} is above max_batch_size ${max_batch_size}`)
  const levels = batching.priority_levels
  if (batching.default_priority_level > levels) {
    refuse('default_priority_level', `${batching.default_priority_level} is above priority_levels ${levels}`)
  }
  if (levels > 0 && batching.default_priority_level === 0) {
    refuse('default_priority_level', `expected 1 to ${levels}, since there are priority_levels`)
  }
  const beyond = Object.keys(batching.priority_queue_policy).filter((level) => Number(level) > levels)
  if (beyond.length > 0)
    refuse('priority_queue_policy', `level ${beyond.join(', ')} is above priority_levels ${levels}`)
})

export type ModelSettings = Readonly<z.infer<typeof ModelSettings>>

/** A `config.pbtxt` or `.json` is Triton's, anything else TOML. */
export function parseModelSettings(file: { path: string; text: string } | undefined): ModelSettings {
  if (file === undefined) return Object.freeze(ModelSettings.parse({}))
  const parse = /\.(pbtxt|json)$/.test(file.path) ? parseTritonConfig : parseToml
  return Object.freeze(parse(ModelSettings, file))
}
