/** A plan held against the model: what contradicts it is said, what it leaves open is taken from there. */
import { describe, expect, test } from 'bun:test'
import type {
  ControlPlan,
  InitialState,
  SequencePlan,
  StatePlan,
} from '../../../src/inference/sequences/plan.ts'
import { resolveSequences } from '../../../src/inference/sequences/resolve.ts'
import type { Signature } from '../../../src/runtime/backend.ts'
import { spec } from '../../kit/fake-session.ts'

const SIGNATURE: Signature = {
  inputs: [
    spec('IN', 'FP32', [-1, 3]),
    spec('STATE', 'FP32', [-1, 2, -1]),
    spec('WORD', 'BYTES', [-1, 1]),
    spec('FLAG', 'INT32', [-1, 1]),
    spec('WIDE', 'INT32', [-1, 4]),
  ],
  outputs: [spec('OUT', 'FP32', [-1, 3]), spec('NEXT', 'FP32', [-1, 2, -1]), spec('WORDS', 'BYTES', [-1, 1])],
  unsupportedOutputs: [],
}

const state = (more: Partial<StatePlan> = {}): StatePlan => ({
  input: 'STATE',
  output: 'NEXT',
  datatype: undefined,
  dims: undefined,
  initial: undefined,
  isShown: false,
  ...more,
})
const initial = (more: Partial<InitialState>): Partial<StatePlan> => ({
  initial: { name: '', datatype: undefined, dims: undefined, file: undefined, bytes: undefined, ...more },
})
const flag = (more: Partial<ControlPlan> = {}): ControlPlan => ({
  name: 'FLAG',
  kind: 'start',
  datatype: 'INT32',
  falseTrue: [0, 1],
  ...more,
})

function resolve(states: readonly StatePlan[], controls: readonly ControlPlan[] = [], signature = SIGNATURE) {
  const plan: SequencePlan = {
    strategy: { kind: 'oldest', candidatesMax: 1 },
    idleMsMax: 1,
    stateBytesMax: 1,
    controls,
    states,
  }
  return resolveSequences(plan, signature, 8)
}

test('without a word a sequence begins with zeros, of the shape that the model has', () => {
  const { problems, model } = resolve([state()])
  expect(problems).toEqual([])
  expect(model.states[0]).toMatchObject({ dims: [2, -1] })
  expect(model.states[0]?.initial).toEqual({
    name: 'STATE',
    datatype: 'FP32',
    shape: [1, 2, 1],
    bytes: new Uint8Array(8),
  })
})

test('what it begins with may have another size, where the model leaves that open', () => {
  const { problems, model } = resolve([state(initial({ dims: [2, 0] }))])
  expect([problems, model.states[0]?.initial.shape]).toEqual([[], [1, 2, 0]])
})

test('strings begin as the file has them', () => {
  const bytes = Uint8Array.of(2, 0, 0, 0, 104, 105)
  const words = state({ input: 'WORD', output: 'WORDS', ...initial({ bytes, file: 'f' }) })
  const { problems, model } = resolve([words])
  expect([problems, model.states[0]?.initial.bytes]).toEqual([[], bytes])
})

describe('is said of', () => {
  test.each([
    [state({ input: 'GONE' }), 'state input "GONE" is in the config, the model has "IN", "STATE"'],
    [state({ output: 'GONE' }), 'state output "GONE" is in the config, the model has "OUT"'],
    [state({ output: 'WORDS' }), 'state output "WORDS" is BYTES in the model, its input "STATE" FP32'],
    [
      state({ datatype: 'FP16', dims: [2, -1] }),
      'state input "STATE" is FP16 [-1,2,-1] in the config, FP32 [-1,2,-1]',
    ],
    [state({ dims: [3, -1] }), 'state input "STATE" is FP32 [-1,3,-1] in the config'],
    [state(initial({ datatype: 'INT8' })), 'initial state of "STATE" is INT8 in the config, the state FP32'],
    [state(initial({ dims: [3, 1] })), 'initial state of "STATE" is [3,1] in the config, the state [2,-1]'],
    [
      state(initial({ bytes: new Uint8Array(7), file: 'f' })),
      'initial state of "STATE" has 7 bytes in its file, expected 8 bytes for [2,1]',
    ],
    [
      state({
        input: 'WORD',
        output: 'WORDS',
        ...initial({ bytes: Uint8Array.of(9, 0, 0, 0, 1), file: 'f' }),
      }),
      'initial state of "WORD" has 5 bytes in its file, expected 1 strings',
    ],
  ])('a state: %#', (one, message) => {
    expect(resolve([one]).problems.join('; ')).toContain(message)
  })

  test.each([
    [flag({ name: 'GONE' }), 'control input "GONE" is in the config, the model has "IN"'],
    [flag({ datatype: 'BOOL' }), 'control input "FLAG" is BOOL in the config, INT32 in the model'],
    [flag({ name: 'WIDE' }), 'control input "WIDE" is [-1,4] in the model, expected [-1,1] or [-1]'],
  ])('a control: %#', (one, message) => {
    expect(resolve([], [one]).problems).toEqual([expect.stringContaining(message)])
  })

  test('a model that would answer nothing', () => {
    const only = { ...SIGNATURE, outputs: [spec('NEXT', 'FP32', [-1, 2, -1])] }
    expect(resolve([state()], [], only).problems).toEqual([
      'every output is a state, clients would be answered nothing',
    ])
    expect(resolve([state({ isShown: true })], [], only).problems).toEqual([])
  })
})
