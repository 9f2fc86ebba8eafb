import { type MessageReader, pickOwn, type TextEntry, textKey } from './reader.ts'

/** What the `parameters` of Triton's onnxruntime backend say, in our words. */
export interface Parameters {
  session: Record<string, number | string | boolean>
  configEntries: Record<string, string>
  /** Options of the CUDA provider, from before they had a place of their own. */
  cuda: Record<string, string>
  /** Not Triton's: how lanes of the model come and go. */
  life: { swap?: string; pinned?: boolean; on_demand?: boolean }
  /** Only passed on. */
  metadata: Record<string, string>
}

/** What Triton or we would act on, and how. Everything else is refused: a word that nobody acts on may be misspelt. */
const KNOWN: Readonly<Record<string, (value: string, into: Parameters) => boolean>> = {
  intra_op_thread_count: (value, { session }) => setCount(value, session, 'intra_op_threads'),
  inter_op_thread_count: (value, { session }) => setCount(value, session, 'inter_op_threads'),
  execution_mode: (value, { session }) =>
    setChoice(session, 'execution_mode', pickOwn({ '0': 'sequential', '1': 'parallel' }, value)),
  enable_mem_arena: (value, { session }) => setChoice(session, 'memory_arena', toBoolean(value)),
  enable_mem_pattern: (value, { session }) => setChoice(session, 'memory_pattern', toBoolean(value)),
  gpu_mem_limit: (value, { cuda }) => setChoice(cuda, 'gpu_mem_limit', /^\d+$/.exec(value)?.[0]),
  arena_extend_strategy: (value, { cuda }) =>
    setChoice(
      cuda,
      'arena_extend_strategy',
      pickOwn({ '0': 'kNextPowerOfTwo', '1': 'kSameAsRequested' }, value),
    ),
  cudnn_conv_algo_search: (value, { cuda }) =>
    setChoice(
      cuda,
      'cudnn_conv_algo_search',
      pickOwn({ '0': 'EXHAUSTIVE', '1': 'HEURISTIC', '2': 'DEFAULT' }, value),
    ),
  do_copy_in_default_stream: (value, { cuda }) =>
    setChoice(
      cuda,
      'do_copy_in_default_stream',
      pickOwn({ true: '1', false: '0' }, String(toBoolean(value))),
    ),
  'limpet.swap': (value, { life }) => setChoice(life, 'swap', /^(auto|keep_both|drain)$/.exec(value)?.[0]),
  'limpet.pinned': (value, { life }) => setChoice(life, 'pinned', toBoolean(value)),
  'limpet.on_demand': (value, { life }) => setChoice(life, 'on_demand', toBoolean(value)),
  // One session serves all instances here, which no answer shows.
  share_session_between_instances: (value) => toBoolean(value) !== undefined,
}

const COUNT_MAX = 256

/** The families of onnxruntime_session_options_config_keys.h. */
const ENTRY = /^(session|optimization|ep|mlas)\./

/** What describes a model to people. */
const METADATA = /^metadata(\.|$)/

export function readParameters(config: MessageReader): Parameters {
  const parameters: Parameters = { session: {}, configEntries: {}, cuda: {}, life: {}, metadata: {} }
  const entries = config.entries('parameters', { key: textKey, value: readValue })
  for (const [key, { text, entry }] of entries) {
    const set = pickOwn(KNOWN, key)
    if (set !== undefined) {
      if (!set(text, parameters)) entry.refuse('value', `"${key}" cannot be "${text}"`)
    } else if (ENTRY.test(key)) parameters.configEntries[key] = text
    else if (METADATA.test(key)) parameters.metadata[key] = text
    else entry.refuse('key', `"${key}" is unknown, expected ${expectedKeys()}`)
  }
  return parameters
}

function readValue(entry: MessageReader): TextEntry | undefined {
  const value = entry.message('value')
  const text = value?.text('string_value')
  if (value !== undefined && !value.has('string_value')) value.refuse('string_value', 'is missing')
  value?.finish()
  return text === undefined ? undefined : { text, entry }
}

function expectedKeys(): string {
  const known = Object.keys(KNOWN).join(', ')
  return `${known}, an entry of ONNX Runtime's session options (session.…, ep.…), or metadata.… to have it passed on`
}

function setCount(value: string, into: Parameters['session'], name: string): boolean {
  return setChoice(
    into,
    name,
    /^\d{1,3}$/.test(value) && Number(value) <= COUNT_MAX ? Number(value) : undefined,
  )
}

function setChoice<T>(into: Record<string, T>, name: string, value: T | undefined): boolean {
  if (value === undefined) return false
  into[name] = value
  return true
}

/** As Triton reads them, whatever the case. */
function toBoolean(value: string): boolean | undefined {
  const text = value.toLowerCase()
  if (text === 'true' || text === '1') return true
  return text === 'false' || text === '0' ? false : undefined
}
