import { z } from 'zod'

const MICROSECONDS_MAX = 3_600_000_000
/** A week. */
const IDLE_US_MAX = 604_800_000_000
const FLAG_DATATYPES = ['INT32', 'FP32', 'BOOL']
const ID_DATATYPES = ['UINT64', 'INT64', 'UINT32', 'INT32', 'BYTES']

/** An input that tells the model where in its sequence a request stands; clients do not send it. */
const Control = z.strictObject({
  name: z.string().min(1),
  /** "ready" is false where a run has a place that no sequence fills; "id" is the sequence's. */
  kind: z.enum(['start', 'end', 'ready', 'id']),
  /** INT32, FP32 or BOOL; for an id UINT64, INT64, UINT32, INT32 or BYTES. */
  datatype: z.string(),
  /** What stands for false and for true. */
  false_true: z.tuple([z.number(), z.number()]).default([0, 1]),
})

/** What a sequence begins with, where that is not zeros. */
const InitialState = z.strictObject({
  name: z.string().default(''),
  datatype: z.string().optional(),
  /** Without the batch. */
  dims: z.array(z.int().min(0)).optional(),
  /** In the folder `initial_state` of the model: the elements, row-major. Without it zeros. */
  file: z.string().min(1).optional(),
})

/** An output that is kept for the next request of the sequence, which gets it as an input. */
const State = z.strictObject({
  input: z.string().min(1),
  output: z.string().min(1),
  /** Without them, those of the model. */
  datatype: z.string().optional(),
  dims: z.array(z.int().min(-1)).optional(),
  initial: InitialState.optional(),
})

/** Requests that belong together, run in order and with what the one before left: Triton's `ModelSequenceBatching`. */
export const SequenceSettings = z.strictObject({
  /** "oldest" runs those together that have waited longest; with "direct" a sequence has a place of its own in each run. */
  strategy: z.enum(['direct', 'oldest']).default('oldest'),
  /** Microseconds without a request after which a sequence is over. */
  idle_us_max: z.int().min(1).max(IDLE_US_MAX).default(1_000_000),
  /** Oldest: sequences at once, for each instance; more wait until one is over. */
  candidates_max: z.int().min(1).max(16_384).optional(),
  /** Oldest: sizes to wait for, up to the longest delay. */
  preferred_batch_sizes: z.array(z.int().min(1).max(65_536)).max(64).optional(),
  /** Oldest: answers leave in the order in which the requests came. */
  preserve_ordering: z.boolean().optional(),
  /** Direct: the share of an instance's places, 0 to 1, that does not wait for the delay. 0: nobody waits. */
  slot_utilization_min: z.number().min(0).max(1).optional(),
  /** Microseconds that the oldest request may wait for others. */
  queue_delay_us_max: z.int().min(0).max(MICROSECONDS_MAX).default(0),
  /** Of all states of one sequence. */
  state_bytes_max: z
    .int()
    .min(1)
    .max(2 ** 40)
    .default(64 * 1024 * 1024),
  controls: z.array(Control).max(64).default([]),
  states: z.array(State).max(256).default([]),
})

export type SequenceSettings = z.infer<typeof SequenceSettings>

/** What the rest of a model's settings has to do with its sequences. */
interface Around {
  readonly sequences?: SequenceSettings | undefined
  readonly batching?: unknown
  readonly response_cache: boolean
  readonly max_batch_size: number
  readonly inputs: readonly { readonly name: string }[]
}

/** What is right by itself may still contradict the rest. */
export function sequenceProblems(around: Around): { path: (string | number)[]; message: string }[] {
  const { sequences } = around
  if (sequences === undefined) return []
  const problems: { path: (string | number)[]; message: string }[] = []
  const refuse = (message: string, ...path: (string | number)[]) => problems.push({ path, message })
  if (around.batching !== undefined) {
    refuse(
      'cannot be there beside batching: requests of a sequence are put together by its strategy',
      'sequences',
    )
  }
  if (around.response_cache) {
    refuse(
      'cannot be true for a model with sequences: its answers depend on what came before',
      'response_cache',
    )
  }
  const large = (sequences.preferred_batch_sizes ?? []).filter((size) => size > around.max_batch_size)
  if (large.length > 0) {
    const message = `${large.join(', ')} is above max_batch_size ${around.max_batch_size}`
    refuse(message, 'sequences', 'preferred_batch_sizes')
  }
  const foreign = sequences.strategy === 'direct' ? OLDEST_ONLY : DIRECT_ONLY
  for (const field of foreign) {
    if (sequences[field] === undefined) continue
    refuse(`is not for the strategy "${sequences.strategy}"`, 'sequences', field)
  }
  for (const { at, message } of [...controlProblems(sequences), ...nameProblems(around, sequences)]) {
    refuse(message, 'sequences', ...at)
  }
  return problems
}

const OLDEST_ONLY = ['candidates_max', 'preferred_batch_sizes', 'preserve_ordering'] as const
const DIRECT_ONLY = ['slot_utilization_min'] as const

interface Problem {
  readonly at: (string | number)[]
  readonly message: string
}

function controlProblems({ controls }: SequenceSettings): Problem[] {
  return controls.flatMap(({ name, kind, datatype }, index) => {
    const allowed = kind === 'id' ? ID_DATATYPES : FLAG_DATATYPES
    const isSecond = controls.findIndex((other) => other.kind === kind) < index
    return [
      ...(allowed.includes(datatype) ? [] : [`"${name}" is ${datatype}, expected ${allowed.join(', ')}`]),
      ...(isSecond ? [`"${name}" is a second one of kind ${kind}, expected at most one`] : []),
    ].map((message) => ({ at: ['controls', index], message }))
  })
}

/** Each tensor has one meaning. */
function nameProblems({ inputs }: Around, { controls, states }: SequenceSettings): Problem[] {
  const named = [
    ...inputs.map(({ name }) => ({ at: ['inputs'], name })),
    ...controls.map(({ name }, index) => ({ at: ['controls', index], name })),
    ...states.map(({ input }, index) => ({ at: ['states', index], name: input })),
  ]
  const outputs = states.map(({ output }, index) => ({ at: ['states', index], name: output }))
  const twice = (all: readonly { at: (string | number)[]; name: string }[]) =>
    all.filter(
      ({ name, at }, index) => at[0] !== 'inputs' && all.findIndex((one) => one.name === name) < index,
    )
  return [
    ...twice(named).map(({ at, name }) => ({ at, message: `input "${name}" is named twice, expected once` })),
    ...twice(outputs).map(({ at, name }) => ({
      at,
      message: `output "${name}" is named twice, expected once`,
    })),
  ]
}
