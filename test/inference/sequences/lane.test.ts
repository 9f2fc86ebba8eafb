/** Sequences through a lane with the real session, so that the states are those that ONNX Runtime gave. */
import { afterAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EMBEDDED } from '../../../src/app/embedded.ts'
import { Lane } from '../../../src/inference/lane.ts'
import type { Scheduling } from '../../../src/inference/scheduling.ts'
import type { SequencePart, SequencePlan } from '../../../src/inference/sequences/plan.ts'
import { resolveSequences } from '../../../src/inference/sequences/resolve.ts'
import { type Clock, systemClock } from '../../../src/kit/clock.ts'
import type { Tensor } from '../../../src/runtime/backend.ts'
import { OrtBackend } from '../../../src/runtime/ort-backend.ts'
import { FakeClock } from '../../kit/fake-clock.ts'
import { lanePlan, scheduling } from '../../kit/fake-session.ts'
import * as zoo from '../../kit/model-zoo.ts'
import { SEED } from '../../kit/seed.ts'

const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2 })
afterAll(() => backend.stop())

const POLICY = { timeoutMs: 0, timeoutAction: 'reject', mayOverrideTimeout: false, itemsMax: 1000 } as const
const OLDEST = { kind: 'oldest', candidatesMax: 64 } as const
const DIRECT = { kind: 'direct', queueDelayMsMax: 0, slotUtilizationMin: 0 } as const

const flag = (name: string, kind: 'start' | 'end' | 'ready') =>
  ({ name, kind, datatype: 'INT32', falseTrue: [0, 1] }) as const
const STATE = {
  input: 'STATE',
  output: 'NEXT',
  datatype: undefined,
  dims: undefined,
  initial: undefined,
  isShown: false,
} as const

function accumulating(more: Partial<SequencePlan> = {}): SequencePlan {
  return {
    strategy: OLDEST,
    idleMsMax: 60_000,
    stateBytesMax: 1024,
    controls: [
      flag('START', 'start'),
      flag('END', 'end'),
      flag('READY', 'ready'),
      { name: 'ID', kind: 'id', datatype: 'UINT64', falseTrue: [0, 1] },
    ],
    states: [STATE],
    ...more,
  }
}

const recording = (more: Partial<SequencePlan> = {}) => accumulating({ controls: [], ...more })

interface Options {
  readonly scheduling?: Partial<Scheduling>
  readonly runsMax?: number
  readonly clock?: Clock
}

async function openLane(model: Uint8Array, plan: SequencePlan, options: Options = {}): Promise<Lane> {
  const session = await backend.load({ bytes: model }, lanePlan('m', '1').session)
  const schedule = scheduling({
    batchSizeMax: 8,
    isDynamic: true,
    defaultPolicy: POLICY,
    ...options.scheduling,
  })
  const { problems, model: sequences } = resolveSequences(plan, session.signature, schedule.batchSizeMax)
  expect(problems).toEqual([])
  return new Lane({
    model: 'm',
    version: '1',
    session,
    sequences,
    clock: options.clock ?? systemClock,
    scheduling: schedule,
    runsMax: options.runsMax ?? 2,
    mayRunInline: true,
  })
}

const part = (id: bigint | string, flags: Partial<SequencePart> = {}): SequencePart => ({
  id,
  isStart: false,
  isEnd: false,
  ...flags,
})
const START = { isStart: true }
const END = { isEnd: true }

function number(value: number): Tensor[] {
  const bytes = new Uint8Array(Int32Array.of(value).buffer)
  return [{ name: 'INPUT0', datatype: 'INT32', shape: [1, 1], bytes }]
}

function valuesOf({ datatype, bytes }: Tensor): (number | bigint)[] {
  const { buffer } = bytes.slice()
  return datatype === 'UINT64' ? [...new BigUint64Array(buffer)] : [...new Int32Array(buffer)]
}

async function ask(lane: Lane, value: number, sequence?: SequencePart, signal?: AbortSignal) {
  const result = await lane.infer({ inputs: number(value), outputs: undefined, signal, sequence })
  const outputs = Object.fromEntries(result.outputs.map((output) => [output.name, valuesOf(output)]))
  result.release()
  return outputs
}

const sum = async (...args: Parameters<typeof ask>) => (await ask(...args))['OUTPUT0']?.[0]

/** Sequences as a client would have them, each asked as soon as the answer before is there. */
const sequencesOf = fc.array(
  fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 6 }),
  {
    maxLength: 24,
  },
)

async function askAll(lane: Lane, values: readonly number[], id: bigint): Promise<unknown[]> {
  const answers: unknown[] = []
  for (const [index, value] of values.entries()) {
    const flags = { isStart: index === 0, isEnd: index === values.length - 1 }
    answers.push((await ask(lane, value, part(id, flags)))['OUTPUT0'])
  }
  return answers
}

function sumsOf(values: readonly number[]): unknown[] {
  let total = 0
  return values.map((value) => {
    total += value
    return [total]
  })
}

describe.each([
  ['oldest', accumulating(), { batchSizeMax: 8 }, zoo.accumulator()],
  ['direct', accumulating({ strategy: DIRECT }), { batchSizeMax: 8 }, zoo.accumulator()],
  ['oldest, of a model for batches of 4', accumulating(), { batchSizeMax: 4 }, zoo.accumulator(4)],
  [
    'direct, of a model for batches of 4',
    accumulating({ strategy: DIRECT }),
    { batchSizeMax: 4 },
    zoo.accumulator(4),
  ],
] as const)('%s', (_, plan, schedule, model) => {
  test('however many go on at once, each has its own state', async () => {
    const lane = await openLane(model, plan, { scheduling: schedule })
    await fc.assert(
      fc.asyncProperty(sequencesOf, async (sequences) => {
        const answers = await Promise.all(
          sequences.map((values, index) => askAll(lane, values, BigInt(index + 1))),
        )
        expect(answers).toEqual(sequences.map(sumsOf))
        expect(lane.sequences?.size).toBe(0)
      }),
      { seed: SEED, numRuns: 40 },
    )
    const { inferences, executions } = lane.statistics
    expect(executions).toBeLessThan(inferences)
    await lane.close()
  })

  test('requests that come before the answers run in their order', async () => {
    const lane = await openLane(model, plan, { scheduling: schedule })
    const values = [5, -3, 100, 7, 1]
    const sequence = (index: number) => part(3n, { isStart: index === 0, isEnd: index === 4 })
    const answers = await Promise.all(values.map((value, index) => ask(lane, value, sequence(index))))
    expect(answers.map(({ OUTPUT0 }) => OUTPUT0)).toEqual(sumsOf(values) as number[][])
    await lane.close()
  })

  test('the model is told where it stands, and whose request it has', async () => {
    const lane = await openLane(model, plan, { scheduling: schedule })
    const id = 2n ** 64n - 1n
    const said = [
      await ask(lane, 1, part(id, START)),
      await ask(lane, 1, part(id)),
      await ask(lane, 1, part(id, END)),
    ]
    expect(said.map(({ SAID, WHO }) => [SAID, WHO])).toEqual([
      [[1, 0, 1], [id]],
      [[0, 0, 1], [id]],
      [[0, 1, 1], [id]],
    ])
    await lane.close()
  })
})

test('a start in a sequence that goes on begins anew', async () => {
  const lane = await openLane(zoo.accumulator(), accumulating())
  const answers = [
    await sum(lane, 5, part(1n, START)),
    await sum(lane, 5, part(1n)),
    await sum(lane, 1, part(1n, START)),
  ]
  expect(answers).toEqual([5, 10, 1])
  expect(lane.sequences?.size).toBe(1)
  await lane.close()
})

test('7 and "7" are two sequences', async () => {
  const lane = await openLane(zoo.recorder(), recording())
  await ask(lane, 1, part(7n, START))
  await ask(lane, 2, part('7', START))
  expect((await ask(lane, 3, part(7n)))['OUTPUT0']).toEqual([0, 1, 3])
  expect((await ask(lane, 3, part('7')))['OUTPUT0']).toEqual([0, 2, 3])
  await lane.close()
})

describe('what is refused, in words', () => {
  const refused = (message: string) => ({ code: 'input_invalid', message: expect.stringContaining(message) })

  test('a request without a sequence', async () => {
    const lane = await openLane(zoo.accumulator(), accumulating())
    await expect(ask(lane, 1)).rejects.toMatchObject(
      refused(`to model 'm' must specify a non-zero or non-empty correlation ID`),
    )
    await lane.close()
  })

  test('one of a sequence that has not begun, has ended, or was idle too long', async () => {
    const clock = new FakeClock()
    const lane = await openLane(zoo.accumulator(), accumulating({ idleMsMax: 1000 }), { clock })
    const noStart = refused(`sequence 1 to model 'm' must specify the START flag on the first request`)
    await expect(ask(lane, 1, part(1n))).rejects.toMatchObject(noStart)
    await ask(lane, 1, part(1n, { isStart: true, isEnd: true }))
    await expect(ask(lane, 1, part(1n))).rejects.toMatchObject(noStart)
    await ask(lane, 1, part(1n, START))
    clock.advance(999)
    await ask(lane, 1, part(1n))
    clock.advance(1000)
    await expect(ask(lane, 1, part(1n))).rejects.toMatchObject(noStart)
    await lane.close()
  })

  test('several items in one request', async () => {
    const lane = await openLane(zoo.accumulator(), accumulating())
    const inputs = [{ ...(number(1)[0] as Tensor), shape: [2, 1], bytes: new Uint8Array(8) }]
    const asked = lane.infer({ inputs, outputs: undefined, signal: undefined, sequence: part(1n, START) })
    await expect(asked).rejects.toMatchObject(refused('must specify batch-size 1'))
    expect(lane.sequences?.size).toBe(0)
    await lane.close()
  })

  test('an id that the model has no room for', async () => {
    const lane = await openLane(zoo.accumulator(), accumulating())
    await expect(ask(lane, 1, part('one', START))).rejects.toMatchObject(
      refused('sequence_id "one" does not fit into "ID"'),
    )
    await lane.close()
  })

  test('a state or a control that a client sends', async () => {
    const lane = await openLane(zoo.accumulator(), accumulating())
    const inputs = [...number(1), { ...(number(1)[0] as Tensor), name: 'STATE' }]
    const asked = lane.infer({ inputs, outputs: undefined, signal: undefined, sequence: part(1n, START) })
    await expect(asked).rejects.toMatchObject(refused('unknown "STATE", expected "INPUT0" INT32 [batch,1]'))
    expect(lane.session.signature.inputs.map(({ name }) => name)).toEqual(['INPUT0'])
    expect(lane.session.signature.outputs.map(({ name }) => name)).toEqual(['OUTPUT0', 'SAID', 'WHO'])
    await lane.close()
  })
})

describe('bounds', () => {
  test('more sequences than there is room for wait for one to end', async () => {
    const plan = accumulating({ strategy: { kind: 'oldest', candidatesMax: 1 } })
    const lane = await openLane(zoo.accumulator(), plan, { runsMax: 1 })
    await ask(lane, 1, part(1n, START))
    let isAnswered = false
    const waiting = ask(lane, 2, part(2n, { isStart: true, isEnd: true })).then((answer) => {
      isAnswered = true
      return answer
    })
    expect(await sum(lane, 1, part(1n))).toBe(2)
    expect(isAnswered).toBe(false)
    await ask(lane, 1, part(1n, END))
    expect((await waiting)['OUTPUT0']).toEqual([2])
    await lane.close()
  })

  test('or for one to be idle too long, without anybody asking', async () => {
    const plan = accumulating({ strategy: { kind: 'oldest', candidatesMax: 1 }, idleMsMax: 5 })
    const lane = await openLane(zoo.accumulator(), plan, { runsMax: 1 })
    await ask(lane, 1, part(1n, START))
    expect(await sum(lane, 2, part(2n, { isStart: true, isEnd: true }))).toBe(2)
    await lane.close()
  })

  test('as many requests wait as may, and one more is refused', async () => {
    const plan = accumulating({ strategy: { kind: 'oldest', candidatesMax: 1 } })
    const defaultPolicy = { ...POLICY, itemsMax: 2 }
    const lane = await openLane(zoo.accumulator(), plan, { runsMax: 1, scheduling: { defaultPolicy } })
    await ask(lane, 1, part(1n, START))
    const whole = { isStart: true, isEnd: true }
    const waiting = [ask(lane, 1, part(2n, whole)), ask(lane, 1, part(3n, whole))]
    await expect(ask(lane, 1, part(4n, whole))).rejects.toMatchObject({ code: 'queue_full' })
    expect(lane.statistics.failures.REJECTED).toBe(1)
    expect(lane.queued).toBe(2)
    // The one that they wait for goes on, and can end.
    expect(await sum(lane, 2, part(1n))).toBe(3)
    await lane.close()
    await Promise.all(waiting)
  })

  test('a state that grows beyond its bound ends the sequence', async () => {
    const lane = await openLane(zoo.recorder(), recording({ stateBytesMax: 12 }))
    await ask(lane, 1, part(1n, START))
    await ask(lane, 2, part(1n))
    await expect(ask(lane, 3, part(1n))).rejects.toMatchObject({
      code: 'input_invalid',
      message:
        'Cannot go on with sequence 1 of "m/1": its states come to 16 bytes, at most 12 (sequences.state_bytes_max)',
    })
    expect(lane.sequences?.size).toBe(0)
    await lane.close()
  })
})

describe('a client that goes away', () => {
  test('while its request waits: that and the rest of its sequence are given up, as in Triton', async () => {
    const plan = accumulating({ strategy: { kind: 'oldest', candidatesMax: 1 } })
    const lane = await openLane(zoo.accumulator(), plan, { runsMax: 1 })
    await ask(lane, 1, part(1n, START))
    const gone = new AbortController()
    const asked = [ask(lane, 1, part(2n, START), gone.signal), ask(lane, 1, part(2n))]
    gone.abort()
    const ends = await Promise.allSettled(asked)
    expect(ends).toEqual(
      ends.map(() => ({ status: 'rejected', reason: expect.objectContaining({ code: 'cancelled' }) })),
    )
    expect([lane.queued, lane.sequences?.size, lane.statistics.failures.CANCELED]).toEqual([0, 1, 2])
    await lane.close()
  })

  test('while its request runs: the state goes on', async () => {
    const lane = await openLane(zoo.accumulator(), accumulating())
    const gone = new AbortController()
    const asked = ask(lane, 5, part(1n, START), gone.signal)
    gone.abort()
    await asked.catch(() => undefined)
    expect(await sum(lane, 1, part(1n))).toBe(6)
    await lane.close()
  })
})

describe('states of open shapes', () => {
  test('grow as the model lets them, whoever runs beside them', async () => {
    const lane = await openLane(zoo.recorder(), recording())
    await fc.assert(
      fc.asyncProperty(sequencesOf, async (sequences) => {
        const answers = await Promise.all(
          sequences.map((values, index) => askAll(lane, values, BigInt(index + 1))),
        )
        const expected = sequences.map((values) =>
          values.map((_, index) => [0, ...values.slice(0, index + 1)]),
        )
        expect(answers).toEqual(expected)
      }),
      { seed: SEED, numRuns: 20 },
    )
    await lane.close()
  })

  test('share a run only with their like', async () => {
    const lane = await openLane(zoo.recorder(), recording(), { scheduling: { queueDelayMsMax: 2 } })
    await ask(lane, 1, part(1n, START))
    await ask(lane, 2, part(1n))
    await Promise.all([ask(lane, 5, part(2n, START)), ask(lane, 7, part(3n, START))])
    const answers = await Promise.all([
      ask(lane, 3, part(1n)),
      ask(lane, 6, part(2n)),
      ask(lane, 8, part(3n)),
    ])
    expect(answers.map(({ OUTPUT0 }) => OUTPUT0)).toEqual([
      [0, 1, 2, 3],
      [0, 5, 6],
      [0, 7, 8],
    ])
    await lane.close()
  })

  test('begin as they are told to', async () => {
    const bytes = new Uint8Array(Int32Array.of(7, 8).buffer)
    const initial = { name: '', datatype: 'INT32', dims: [2], file: 'x', bytes }
    const lane = await openLane(zoo.recorder(), recording({ states: [{ ...STATE, initial }] }))
    expect((await ask(lane, 1, part(1n, START)))['OUTPUT0']).toEqual([7, 8, 1])
    expect((await ask(lane, 1, part(2n, START)))['OUTPUT0']).toEqual([7, 8, 1])
    expect((await ask(lane, 2, part(1n)))['OUTPUT0']).toEqual([7, 8, 1, 2])
    await lane.close()
  })

  test('of strings', async () => {
    const lane = await openLane(zoo.recorder('STRING'), recording())
    const say = async (word: string, sequence: SequencePart) => {
      const bytes = new Uint8Array(Buffer.from([word.length, 0, 0, 0, ...Buffer.from(word)]))
      const inputs: Tensor[] = [{ name: 'INPUT0', datatype: 'BYTES', shape: [1, 1], bytes }]
      const result = await lane.infer({ inputs, outputs: ['OUTPUT0'], signal: undefined, sequence })
      const text = Buffer.from(result.outputs[0]?.bytes ?? []).toString()
      result.release()
      return text
    }
    const long = 'long'.repeat(10)
    await Promise.all([say('a', part(1n, START)), say(long, part(2n, START))])
    const [first, second] = await Promise.all([say('b', part(1n)), say('c', part(2n))])
    expect(first).toBe('\0\0\0\0\x01\0\0\0a\x01\0\0\0b')
    expect(second).toBe(`\0\0\0\0${String.fromCharCode(40)}\0\0\0${long}\x01\0\0\0c`)
    await lane.close()
  })
})

test('a run that fails leaves the state as it was, and the request can be sent again', async () => {
  const session = await backend.load({ bytes: zoo.accumulator() }, lanePlan('m', '1').session)
  const { model } = resolveSequences(accumulating(), session.signature, 8)
  let isFailing = false
  const run: typeof session.run = (request) =>
    isFailing ? Promise.reject(new Error('no memory')) : session.run(request)
  const faulty = { ...session, signature: session.signature, run, close: () => session.close() }
  const lane = new Lane({
    model: 'm',
    version: '1',
    session: faulty,
    sequences: model,
    clock: systemClock,
    scheduling: scheduling({ batchSizeMax: 8, isDynamic: true, defaultPolicy: POLICY }),
    runsMax: 1,
    mayRunInline: false,
  })
  await ask(lane, 5, part(1n, START))
  isFailing = true
  await expect(ask(lane, 2, part(1n))).rejects.toThrow('no memory')
  isFailing = false
  expect(await sum(lane, 2, part(1n))).toBe(7)
  await lane.close()
})

test('the statistics count these requests like any other', async () => {
  const lane = await openLane(zoo.accumulator(), accumulating())
  await ask(lane, 1, part(1n, START))
  await ask(lane, 1, part(1n, END))
  await ask(lane, 1, part(1n)).catch(() => undefined)
  const { success, queue, fail, inferences } = lane.statistics
  expect([success.count, queue.count, fail.count, inferences]).toEqual([2, 2, 1, 2])
  await lane.close()
})
