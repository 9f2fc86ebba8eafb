/** How sequences are set, in our words and in Triton's. */
import { describe, expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'

const toml = (text: string) => parseModelSettings({ path: 'net/config.toml', text })
const pbtxt = (text: string) => parseModelSettings({ path: 'net/config.pbtxt', text })

function refusal(parsing: () => unknown): string {
  try {
    parsing()
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' })
    return (error as Error).message
  }
  throw new Error('Nothing was refused')
}

const ALL_OF_IT = `
  max_batch_size: 8
  sequence_batching {
    max_sequence_idle_microseconds: 5000000
    oldest {
      max_candidate_sequences: 4
      preferred_batch_size: [ 2, 4 ]
      max_queue_delay_microseconds: 100
      preserve_ordering: true
    }
    control_input [
      { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1.5 ] } ] },
      { name: "END" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } },
      { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 1, 0 ] } },
      { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }
    ]
    state [
      {
        input_name: "IN" output_name: "OUT" data_type: TYPE_FP32 dims: [ 2, -1 ]
        initial_state: { data_type: TYPE_FP32 dims: [ 2, 3 ] zero_data: true name: "zeros" }
      },
      {
        input_name: "WORDS_IN" output_name: "WORDS_OUT" data_type: TYPE_STRING dims: [ 1 ]
        initial_state: { data_type: TYPE_STRING dims: [ 1 ] data_file: "words" name: "words" }
      }
    ]
  }`

const IN_OUR_WORDS = `
max_batch_size = 8

[sequences]
strategy = "oldest"
idle_us_max = 5_000_000
candidates_max = 4
preferred_batch_sizes = [2, 4]
queue_delay_us_max = 100
preserve_ordering = true
controls = [
  { name = "START", kind = "start", datatype = "FP32", false_true = [0, 1.5] },
  { name = "END", kind = "end", datatype = "BOOL", false_true = [0, 1] },
  { name = "READY", kind = "ready", datatype = "INT32", false_true = [1, 0] },
  { name = "CORRID", kind = "id", datatype = "BYTES" },
]

[[sequences.states]]
input = "IN"
output = "OUT"
datatype = "FP32"
dims = [2, -1]
initial = { name = "zeros", datatype = "FP32", dims = [2, 3] }

[[sequences.states]]
input = "WORDS_IN"
output = "WORDS_OUT"
datatype = "BYTES"
dims = [1]
initial = { name = "words", datatype = "BYTES", dims = [1], file = "words" }
`

test("Triton's sequence_batching says the same as ours", () => {
  expect(pbtxt(ALL_OF_IT).sequences).toEqual(toml(IN_OUR_WORDS).sequences)
})

test('the shortest of ours: a pair of tensors', () => {
  const { sequences } = toml('[sequences]\nstates = [{ input = "state", output = "stateN" }]')
  expect(sequences).toEqual({
    strategy: 'oldest',
    idle_us_max: 1_000_000,
    queue_delay_us_max: 0,
    state_bytes_max: 64 * 1024 * 1024,
    controls: [],
    states: [{ input: 'state', output: 'stateN' }],
  })
})

test("the shortest of Triton's has its defaults: direct, a second", () => {
  expect(pbtxt('sequence_batching { max_sequence_idle_microseconds: 0 }').sequences).toMatchObject({
    strategy: 'direct',
    idle_us_max: 1_000_000,
    queue_delay_us_max: 0,
  })
})

test('what the config answer says can be given back in JSON', () => {
  const config = {
    sequence_batching: {
      max_sequence_idle_microseconds: 7,
      direct: { max_queue_delay_microseconds: 5, minimum_slot_utilization: 0.5 },
      control_input: [
        {
          name: 'START',
          control: [
            {
              kind: 'CONTROL_SEQUENCE_START',
              int32_false_true: [0, 1],
              fp32_false_true: [],
              bool_false_true: [],
              data_type: 'TYPE_INVALID',
            },
          ],
        },
      ],
      state: [],
      iterative_sequence: false,
    },
  }
  const { sequences } = parseModelSettings({ path: 'net/config.json', text: JSON.stringify(config) })
  expect(sequences).toMatchObject({ strategy: 'direct', idle_us_max: 7, slot_utilization_min: 0.5 })
  expect(sequences?.controls).toEqual([
    { name: 'START', kind: 'start', datatype: 'INT32', false_true: [0, 1] },
  ])
})

const state = (text: string) =>
  `sequence_batching { state { input_name: "A" output_name: "B" data_type: TYPE_FP32 dims: 1 ${text} } }`
const control = (text: string) => `sequence_batching { control_input { name: "C" control { ${text} } } }`

describe("what is refused of Triton's, by name and line", () => {
  test.each([
    [
      'sequence_batching { direct { } oldest { max_candidate_sequences: 1 } }',
      'has to be one of direct and oldest',
    ],
    ['sequence_batching { oldest { } }', 'sequence_batching.oldest.max_candidate_sequences: is missing'],
    [
      'sequence_batching { oldest { max_candidate_sequences: 0 } }',
      'sequence_batching.oldest.max_candidate_sequences: ',
    ],
    [
      'sequence_batching { iterative_sequence: true }',
      'sequence_batching.iterative_sequence: cannot be true',
    ],
    [
      'sequence_batching { direct { minimum_slot_utilization: 1.5 } }',
      'sequence_batching.direct.minimum_slot_utilization',
    ],
    [
      'max_batch_size: 4 sequence_batching { oldest { max_candidate_sequences: 9 preferred_batch_size: 8 } }',
      'sequence_batching.oldest.preferred_batch_size: 8 is above max_batch_size 4',
    ],
    [
      'max_batch_size: 4 sequence_batching { } dynamic_batching { }',
      'sequence_batching: cannot be there beside batching',
    ],
    [
      'sequence_batching { } response_cache { enable: true }',
      'response_cache: cannot be true for a model with sequences',
    ],
    [
      'sequence_batching { } model_transaction_policy { decoupled: true }',
      'model_transaction_policy.decoupled: cannot be true',
    ],
    [
      state('use_same_buffer_for_input_output: true'),
      'state.use_same_buffer_for_input_output: cannot be true',
    ],
    [state('use_growable_memory: true'), 'state.use_growable_memory: cannot be true'],
    [state('initial_state { dims: 1 }'), 'initial_state: has to have one of zero_data: true and data_file'],
    ['sequence_batching { state { input_name: "A" } }', 'sequence_batching.state.output_name: is missing'],
    [
      control('kind: CONTROL_SEQUENCE_END'),
      'has to have one of int32_false_true, fp32_false_true and bool_false_true',
    ],
    [control('int32_false_true: [ 0 ]'), 'has to have one of int32_false_true'],
    [control('kind: CONTROL_SEQUENCE_CORRID'), 'data_type: is missing'],
    [control('kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32'), '"C" is FP32, expected UINT64, INT64'],
    ['sequence_batching { control_input { name: "C" } }', 'control: is not there once'],
    [`input { name: "A" data_type: TYPE_FP32 dims: 1 } ${state('')}`, 'state: input "A" is named twice'],
  ])('%s', (text, what) => {
    const message = refusal(() => pbtxt(text))
    expect(message).toStartWith('Cannot use "net/config.pbtxt": line 1: ')
    expect(message).toContain(what)
  })
})

describe('what is refused of ours', () => {
  test.each([
    ['strategy = "direct"\ncandidates_max = 3', 'is not for the strategy "direct"'],
    ['slot_utilization_min = 0.5', 'is not for the strategy "oldest"'],
    [
      'controls = [{ name = "A", kind = "start", datatype = "BOOL" }, { name = "B", kind = "start", datatype = "BOOL" }]',
      '"B" is a second one of kind start',
    ],
    [
      'states = [{ input = "A", output = "C" }, { input = "B", output = "C" }]',
      'output "C" is named twice, expected once',
    ],
    ['idle_us_max = 0', 'idle_us_max'],
  ])('%s', (text, what) => {
    expect(refusal(() => toml(`[sequences]\n${text}`))).toContain(what)
  })
})
