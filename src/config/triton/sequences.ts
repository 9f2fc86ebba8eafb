import type { MessageReader } from './reader.ts'
import { refuseTrue } from './refusals.ts'
import { DATATYPES } from './tensors.ts'

const KINDS = {
  CONTROL_SEQUENCE_START: 'start',
  CONTROL_SEQUENCE_READY: 'ready',
  CONTROL_SEQUENCE_END: 'end',
  CONTROL_SEQUENCE_CORRID: 'id',
} as const

const COUNT = { min: 0, max: Number.MAX_SAFE_INTEGER }

/** Triton's `ModelSequenceBatching`, as the schema of `[sequences]` takes it. */
export function readSequences(message: MessageReader) {
  const [direct, oldest] = [message.message('direct'), message.message('oldest')]
  if (direct !== undefined && oldest !== undefined) message.refuse('', 'has to be one of direct and oldest')
  refuseTrue(message, {
    iterative_sequence: 'a request has one answer',
    generative_sequence: 'a request has one answer',
  })
  const sequences = {
    // Nothing is the default, and in Protocol Buffers 0 is nothing.
    idle_us_max: message.integer('max_sequence_idle_microseconds', COUNT) || undefined,
    ...(oldest === undefined ? readDirect(direct) : readOldest(oldest)),
    controls: message.messages('control_input').map(readControl),
    states: message.messages('state').map(readState),
  }
  message.finish()
  return sequences
}

function readDirect(direct: MessageReader | undefined) {
  const strategy = {
    strategy: 'direct',
    queue_delay_us_max: direct?.integer('max_queue_delay_microseconds', COUNT),
    slot_utilization_min: direct?.number('minimum_slot_utilization'),
  }
  direct?.finish()
  return strategy
}

function readOldest(oldest: MessageReader) {
  if (!oldest.has('max_candidate_sequences')) oldest.refuse('max_candidate_sequences', 'is missing')
  const strategy = {
    strategy: 'oldest',
    candidates_max: oldest.integer('max_candidate_sequences'),
    preferred_batch_sizes: oldest.integers('preferred_batch_size'),
    queue_delay_us_max: oldest.integer('max_queue_delay_microseconds', COUNT),
    preserve_ordering: oldest.boolean('preserve_ordering'),
  }
  oldest.finish()
  return strategy
}

function readControl(input: MessageReader) {
  if (!input.has('name')) input.refuse('name', 'is missing')
  const [control, ...more] = input.messages('control')
  if (control === undefined || more.length > 0) input.refuse('control', 'is not there once, expected one')
  const name = input.text('name') || '?'
  input.finish()
  // What is missing has been noted: anything will do in its place.
  return { name, ...(control === undefined ? { kind: 'start', datatype: 'INT32' } : readKind(control)) }
}

function readKind(control: MessageReader) {
  const kind = control.choice('kind', KINDS) ?? 'start'
  const given = [
    { datatype: 'INT32', values: control.integers('int32_false_true') },
    { datatype: 'FP32', values: control.numbers('fp32_false_true') },
    { datatype: 'BOOL', values: control.booleans('bool_false_true').map(Number) },
  ].filter(({ values }) => values.length > 0)
  // As a config is written out: a flag has none of its own.
  const own = control.choice('data_type', { ...DATATYPES, TYPE_INVALID: '' }) || undefined
  control.finish()
  if (kind === 'id') {
    if (own === undefined) control.refuse('data_type', 'is missing')
    if (given.length > 0) control.refuse('', 'is an ID, which is neither false nor true')
    return { kind, datatype: own ?? 'UINT64' }
  }
  const [first] = given
  if (first === undefined || given.length > 1 || first.values.length !== 2) {
    control.refuse(
      '',
      'has to have one of int32_false_true, fp32_false_true and bool_false_true, with two values',
    )
    return { kind, datatype: 'INT32' }
  }
  return { kind, datatype: first.datatype, false_true: first.values }
}

function readState(state: MessageReader) {
  for (const name of ['input_name', 'output_name', 'data_type', 'dims']) {
    if (!state.has(name)) state.refuse(name, 'is missing')
  }
  refuseTrue(state, {
    use_same_buffer_for_input_output: 'ONNX Runtime writes a state beside the one that it reads',
    use_growable_memory: 'a state that grows is copied into new memory',
  })
  const [initial, ...more] = state.messages('initial_state')
  if (more.length > 0) state.refuse('initial_state', `is there ${more.length + 1} times, expected once`)
  const read = {
    input: state.text('input_name') || '?',
    output: state.text('output_name') || '?',
    datatype: state.choice('data_type', DATATYPES),
    dims: state.integers('dims', { min: -1, max: 2 ** 31 - 1 }),
    initial: initial === undefined ? undefined : readInitial(initial),
  }
  state.finish()
  return read
}

function readInitial(initial: MessageReader) {
  const file = initial.text('data_file') || undefined
  const isZero = initial.boolean('zero_data') === true
  if (isZero === (file !== undefined)) initial.refuse('', 'has to have one of zero_data: true and data_file')
  const read = {
    name: initial.text('name') ?? '',
    datatype: initial.choice('data_type', DATATYPES),
    dims: initial.integers('dims', { min: 0, max: 2 ** 31 - 1 }),
    file,
  }
  initial.finish()
  return read
}
