/** What a run of several sequences is made of, seen from the model. */
import { expect, test } from 'bun:test'
import type { Control, SequenceModel } from '../../../src/inference/sequences/plan.ts'
import { type Item, joinItems, keepStates } from '../../../src/inference/sequences/tensors.ts'
import type { Tensor } from '../../../src/runtime/backend.ts'
import { tensor } from '../../kit/fake-session.ts'

const control = (name: string, kind: Control['kind'], more: Partial<Control> = {}): Control => ({
  name,
  kind,
  datatype: 'INT32',
  falseTrue: [0, 1],
  rank: 2,
  ...more,
})

const INITIAL = tensor('STATE', 'UINT8', [1, 2], [7, 8])

const MODEL: SequenceModel = {
  plan: {
    strategy: { kind: 'direct', queueDelayMsMax: 0, slotUtilizationMin: 0 },
    idleMsMax: 1,
    stateBytesMax: 4,
    controls: [],
    states: [],
  },
  controls: [
    control('START', 'start', { datatype: 'FP32', falseTrue: [-1, 1.5] }),
    control('END', 'end', { datatype: 'BOOL', rank: 1 }),
    control('READY', 'ready', { falseTrue: [5, 6] }),
    control('ID', 'id', { datatype: 'INT64' }),
  ],
  states: [{ input: 'STATE', output: 'NEXT', dims: [2], initial: INITIAL, isShown: false }],
}

function item(value: number, of: { id: bigint; isStart?: boolean; isEnd?: boolean; kept?: number[] }): Item {
  const { id, isStart = false, isEnd = false, kept } = of
  return {
    run: { inputs: [tensor('IN', 'UINT8', [1, 1], [value])], outputs: ['OUT'] },
    sequence: { id, isStart, isEnd },
    kept: kept === undefined ? undefined : [tensor('STATE', 'UINT8', [1, 2], kept)],
  }
}

const READERS: Partial<Record<string, (bytes: Uint8Array) => readonly unknown[]>> = {
  FP32: (bytes) => [...new Float32Array(bytes.slice().buffer)],
  INT32: (bytes) => [...new Int32Array(bytes.slice().buffer)],
  INT64: (bytes) => [...new BigInt64Array(bytes.slice().buffer)],
}

function plain(inputs: readonly Tensor[]) {
  return Object.fromEntries(
    inputs.map(({ name, datatype, shape, bytes }) => [
      name,
      { shape, values: READERS[datatype]?.(bytes) ?? [...bytes] },
    ]),
  )
}

test('each sequence at its place; what no sequence fills is zeros, and said not to be ready', () => {
  const items = [
    item(1, { id: 11n, isStart: true, kept: [1, 1] }),
    undefined,
    item(3, { id: 13n, isEnd: true, kept: [3, 4] }),
  ]
  const run = joinItems(items, MODEL, { hasBatch: true, staticBatch: 4 })
  expect(run.outputs).toEqual(['OUT', 'NEXT'])
  expect(plain(run.inputs)).toEqual({
    IN: { shape: [4, 1], values: [1, 0, 3, 0] },
    // A start forgets what was kept; a place that is empty has what a sequence begins with, and padding nothing.
    STATE: { shape: [4, 2], values: [7, 8, 7, 8, 3, 4, 0, 0] },
    START: { shape: [4, 1], values: [1.5, -1, -1, -1] },
    END: { shape: [4], values: [0, 0, 1, 0] },
    READY: { shape: [4, 1], values: [6, 5, 6, 5] },
    ID: { shape: [4, 1], values: [11n, 0n, 13n, 0n] },
  })
})

test('without a batch a control is one element', () => {
  const model = {
    ...MODEL,
    controls: [control('START', 'start', { rank: 0 }), control('END', 'end', { rank: 1 })],
  }
  const run = joinItems([item(1, { id: 1n, isStart: true })], model, { hasBatch: false, staticBatch: 0 })
  const { START, END } = plain(run.inputs)
  expect([START, END]).toEqual([
    { shape: [], values: [1] },
    { shape: [1], values: [0] },
  ])
})

test('an id of strings is the text, a number in its digits', () => {
  const model = { ...MODEL, controls: [control('ID', 'id', { datatype: 'BYTES' })] }
  const text = (id: bigint | string) => {
    const one = { ...item(1, { id: 1n }), sequence: { id, isStart: false, isEnd: false } }
    const { inputs } = joinItems([one], model, { hasBatch: true, staticBatch: 0 })
    return Buffer.from(inputs.at(-1)?.bytes ?? []).toString('latin1')
  }
  expect([text('Zoë'), text(2n ** 64n - 1n)]).toEqual([
    `\x04\0\0\0${Buffer.from('Zoë').toString('latin1')}`,
    '\x14\0\0\x0018446744073709551615',
  ])
})

test('an output that a client asks for is asked of the model once, though it is a state', () => {
  const one = item(1, { id: 1n })
  const wanting = { ...one, run: { ...one.run, outputs: ['NEXT', 'OUT'] } }
  expect(joinItems([wanting], MODEL, { hasBatch: true, staticBatch: 0 }).outputs).toEqual(['NEXT', 'OUT'])
})

test('a state is copied out of the answer, into the memory that the sequence had, as far as it fits', () => {
  const share = [tensor('OUT', 'UINT8', [1], [9]), tensor('NEXT', 'UINT8', [1, 2], [5, 6])]
  const first = keepStates(undefined, share, MODEL)
  share[1]?.bytes.fill(0)
  expect(first).toEqual([tensor('STATE', 'UINT8', [1, 2], [5, 6])])
  const second = keepStates(first, [tensor('NEXT', 'UINT8', [1, 2], [1, 2])], MODEL)
  expect(second[0]?.bytes).toBe(first[0]?.bytes as Uint8Array)
  const third = keepStates(second, [tensor('NEXT', 'UINT8', [1, 3], [1, 2, 3])], MODEL)
  expect(third[0]).toEqual(tensor('STATE', 'UINT8', [1, 3], [1, 2, 3]))
  const long = [tensor('NEXT', 'UINT8', [1, 5], [1, 2, 3, 4, 5])]
  expect(() => keepStates(third, long, MODEL)).toThrow(
    'its states come to 5 bytes, at most 4 (sequences.state_bytes_max)',
  )
  expect(INITIAL.bytes).toEqual(Uint8Array.of(7, 8))
})
