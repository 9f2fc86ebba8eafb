import type { Control, SequenceModel, State } from '../inference/sequences/plan.ts'
import { dataType } from './warmup-config.ts'

const KINDS = {
  start: 'CONTROL_SEQUENCE_START',
  end: 'CONTROL_SEQUENCE_END',
  ready: 'CONTROL_SEQUENCE_READY',
  id: 'CONTROL_SEQUENCE_CORRID',
} as const

/** What is put together, as the lane's scheduling has it. */
interface Joined {
  readonly preferredBatchSizes: readonly number[]
  readonly queueDelayMsMax: number
  readonly preserveOrdering: boolean
}

/** Triton's `ModelSequenceBatching` in JSON, as the sequences are run. */
export function sequenceConfig({ plan, controls, states }: SequenceModel, joined: Joined) {
  return {
    max_sequence_idle_microseconds: plan.idleMsMax * 1000,
    ...strategyConfig({ plan }, joined),
    control_input: controls.map(controlConfig),
    state: states.map((state, index) => stateConfig(state, plan.states[index]?.initial)),
    iterative_sequence: false,
  }
}

function strategyConfig({ plan: { strategy } }: Pick<SequenceModel, 'plan'>, joined: Joined) {
  if (strategy.kind === 'direct') {
    return {
      direct: {
        max_queue_delay_microseconds: strategy.queueDelayMsMax * 1000,
        minimum_slot_utilization: strategy.slotUtilizationMin,
      },
    }
  }
  return {
    oldest: {
      max_candidate_sequences: strategy.candidatesMax,
      preferred_batch_size: joined.preferredBatchSizes,
      max_queue_delay_microseconds: joined.queueDelayMsMax * 1000,
      preserve_ordering: joined.preserveOrdering,
    },
  }
}

function controlConfig({ name, kind, datatype, falseTrue }: Control) {
  const values = (of: string) => (kind !== 'id' && datatype === of ? falseTrue : [])
  const control = {
    kind: KINDS[kind],
    int32_false_true: values('INT32'),
    fp32_false_true: values('FP32'),
    bool_false_true: values('BOOL').map(Boolean),
    data_type: kind === 'id' ? dataType(datatype) : 'TYPE_INVALID',
  }
  return { name, control: [control] }
}

function stateConfig(
  { input, output, dims, initial }: State,
  given: { readonly name: string; readonly file: string | undefined } | undefined,
) {
  const data_type = dataType(initial.datatype)
  const start = given?.file === undefined ? { zero_data: true } : { data_file: given.file }
  const begins = { name: given?.name ?? '', data_type, dims: startDims(initial.shape, dims), ...start }
  return {
    input_name: input,
    output_name: output,
    data_type,
    dims,
    initial_state: given === undefined ? [] : [begins],
    use_same_buffer_for_input_output: false,
    use_growable_memory: false,
  }
}

/** Without the batch. */
function startDims(shape: readonly number[], { length }: readonly number[]): readonly number[] {
  return shape.slice(shape.length - length)
}
