/** Requests that share a run: with the real session, so that what is cut apart is what ONNX Runtime gave. */
import { afterAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { mergeInputs, splitOutputs } from '../../src/inference/batch-tensors.ts'
import { Lane } from '../../src/inference/lane.ts'
import type { Scheduling } from '../../src/inference/scheduling.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { Tensor } from '../../src/runtime/backend.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeSession, lanePlan, scheduling, spec, tensor } from '../kit/fake-session.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SEED } from '../kit/seed.ts'

const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2 })
afterAll(() => backend.stop())

const POLICY = { timeoutMs: 0, timeoutAction: 'reject', mayOverrideTimeout: false, itemsMax: 1000 } as const
const dynamic = (more: Partial<Scheduling> = {}) =>
  scheduling({ batchSizeMax: 8, isDynamic: true, queueDelayMsMax: 2, defaultPolicy: POLICY, ...more })

async function openLane(model: Uint8Array, options: Scheduling): Promise<Lane> {
  const session = await backend.load({ bytes: model }, lanePlan('m', '1').session)
  return new Lane({
    model: 'm',
    version: '1',
    session,
    clock: systemClock,
    scheduling: options,
    runsMax: 2,
    mayRunInline: false,
  })
}

function numbers(name: string, values: readonly number[]): Tensor {
  const rows = Int32Array.from(values.flatMap((value) => Array.from({ length: 16 }, () => value)))
  return { name, datatype: 'INT32', shape: [values.length, 16], bytes: new Uint8Array(rows.buffer) }
}

async function addUp(lane: Lane, values: readonly number[]): Promise<number[]> {
  const inputs = [
    numbers('INPUT0', values),
    numbers(
      'INPUT1',
      values.map(() => 7),
    ),
  ]
  const result = await lane.infer({ inputs, outputs: ['OUTPUT0'], signal: undefined })
  const sums = new Int32Array(result.outputs[0]?.bytes.slice().buffer ?? new ArrayBuffer(0))
  expect(result.outputs[0]?.shape).toEqual([values.length, 16])
  result.release()
  return [...sums].filter((_, index) => index % 16 === 0)
}

test('each of many requests of many sizes gets its own share of the runs', async () => {
  const lane = await openLane(zoo.simple(), dynamic())
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(1000), { minLength: 1, maxLength: 8 }), { maxLength: 40 }),
      async (requests) => {
        const answers = await Promise.all(requests.map((values) => addUp(lane, values)))
        expect(answers).toEqual(requests.map((values) => values.map((value) => value + 7)))
      },
    ),
    { seed: SEED, numRuns: 40 },
  )
  const { inferences, executions, batches } = lane.statistics
  expect(executions).toBeLessThan(inferences)
  expect(batches.every(({ batchSize }) => batchSize <= 8)).toBe(true)
  await lane.close()
})

test('strings are put together and cut apart by their lengths', async () => {
  const lane = await openLane(zoo.stringIdentity(), dynamic())
  const ask = async (texts: string[]) => {
    const bytes = Buffer.concat(
      texts.flatMap((text) => [Buffer.from([Buffer.byteLength(text), 0, 0, 0]), Buffer.from(text)]),
    )
    const inputs: Tensor[] = [
      { name: 'INPUT0', datatype: 'BYTES', shape: [texts.length], bytes: new Uint8Array(bytes) },
    ]
    const result = await lane.infer({ inputs, outputs: undefined, signal: undefined })
    const answer = Buffer.from(result.outputs[0]?.bytes.slice() ?? [])
    result.release()
    return answer.equals(bytes)
  }
  expect(await Promise.all([ask(['a', 'bcd']), ask(['']), ask(['ü', '', 'zz']), ask(['x'])])).toEqual([
    true,
    true,
    true,
    true,
  ])
  await lane.close()
})

test('requests of other shapes never share a run', async () => {
  const session = new FakeSession({
    inputs: [spec('INPUT0', 'UINT8', [-1, -1])],
    outputs: [spec('OUTPUT0', 'UINT8', [-1, -1])],
    unsupportedOutputs: [],
  })
  const lane = new Lane({
    model: 'm',
    version: '1',
    session,
    clock: new FakeClock(),
    scheduling: dynamic({ queueDelayMsMax: 0 }),
    runsMax: 1,
    mayRunInline: false,
  })
  session.isHeld = true
  const ask = (columns: number) =>
    lane.infer({
      inputs: [tensor('INPUT0', 'UINT8', [1, columns], new Array(columns).fill(columns))],
      outputs: undefined,
      signal: undefined,
    })
  const answers = [ask(1), ask(2), ask(2), ask(3)]
  for (let run = 0; run < 3; run += 1) {
    session.finish()
    await Bun.sleep(0)
  }
  await Promise.all(answers)
  expect(session.runs.map(({ request }) => request.inputs[0]?.shape)).toEqual([
    [1, 1],
    [2, 2],
    [1, 3],
  ])
})

test('a model with a fixed batch gets its batch filled up, and the filling is cut off', async () => {
  const lane = await openLane(zoo.identity('FLOAT', [4, 2]), dynamic({ batchSizeMax: 4, queueDelayMsMax: 0 }))
  const values = Float32Array.from([1, 2, 3, 4, 5, 6])
  const inputs: Tensor[] = [
    { name: 'INPUT0', datatype: 'FP32', shape: [3, 2], bytes: new Uint8Array(values.buffer) },
  ]
  const result = await lane.infer({ inputs, outputs: undefined, signal: undefined })
  expect(result.outputs[0]?.shape).toEqual([3, 2])
  expect([...new Float32Array(result.outputs[0]?.bytes.slice().buffer ?? new ArrayBuffer(0))]).toEqual([
    ...values,
  ])
  result.release()
  await lane.close()
})

describe('refused', () => {
  test.each([
    [[9], 'inference request batch-size must be <= 8'],
    [[0], 'inference request batch-size must be <= 8'],
  ])('a batch of %p', async ([size = 0], says) => {
    const lane = await openLane(zoo.simple(), dynamic())
    const values = Array.from({ length: size }, () => 1)
    const inputs = [numbers('INPUT0', values), numbers('INPUT1', values)]
    await expect(lane.infer({ inputs, outputs: undefined, signal: undefined })).rejects.toThrow(says)
    await lane.close()
  })

  test('inputs of unlike batches', async () => {
    const lane = await openLane(zoo.simple(), dynamic())
    const inputs = [numbers('INPUT0', [1, 2]), numbers('INPUT1', [1])]
    const asked = lane.infer({ inputs, outputs: undefined, signal: undefined })
    await expect(asked).rejects.toThrow("input 'INPUT1' batch size does not match other inputs")
    await lane.close()
  })

  test('what has waited longer than its policy allows', async () => {
    const session = new FakeSession()
    const policy = { ...POLICY, timeoutMs: 5 }
    const lane = new Lane({
      model: 'm',
      version: '1',
      session,
      clock: systemClock,
      scheduling: scheduling({ defaultPolicy: policy }),
      runsMax: 1,
      mayRunInline: false,
    })
    session.isHeld = true
    const ask = () =>
      lane.infer({ inputs: [tensor('INPUT0', 'UINT8', [1], [1])], outputs: undefined, signal: undefined })
    const first = ask()
    await expect(ask()).rejects.toThrow('Request timeout expired')
    session.finish()
    ;(await first).release()
    expect(lane.statistics.failures.REJECTED).toBe(1)
  })
})

describe("a client's own timeout", () => {
  const stage = (timeoutMs: number, mayOverrideTimeout: boolean) => {
    const session = new FakeSession()
    session.isHeld = true
    const defaultPolicy = { ...POLICY, timeoutMs, mayOverrideTimeout }
    const options = { scheduling: scheduling({ defaultPolicy }), runsMax: 1, mayRunInline: false }
    const lane = new Lane({ model: 'm', version: '1', session, clock: systemClock, ...options })
    const ask = (ownMs?: number) =>
      lane.infer({
        inputs: [tensor('INPUT0', 'UINT8', [1], [1])],
        outputs: undefined,
        signal: undefined,
        timeoutMs: ownMs,
      })
    const first = ask()
    const waited = async (ownMs: number) => {
      const began = systemClock.elapsed()
      await expect(ask(ownMs)).rejects.toThrow('Request timeout expired')
      return systemClock.elapsed() - began
    }
    const end = async () => {
      session.finish()
      ;(await first).release()
    }
    return { waited, end }
  }

  test('shortens the time where the policy lets it, and never lengthens it', async () => {
    const long = stage(60_000, true)
    // Of a minute, not all is waited.
    expect(await long.waited(2)).toBeLessThan(50_000)
    await long.end()
    const short = stage(20, true)
    expect(await short.waited(60_000)).toBeLessThan(50_000)
    await short.end()
  })

  test('changes nothing where it does not', async () => {
    const { waited, end } = stage(40, false)
    expect(await waited(2)).toBeGreaterThanOrEqual(39)
    await end()
  })
})

test('a higher priority goes first, and a level beyond the last is the last', async () => {
  const session = new FakeSession()
  const lane = new Lane({
    model: 'm',
    version: '1',
    session,
    clock: new FakeClock(),
    scheduling: scheduling({ priorityLevels: 3, defaultPriorityLevel: 2, defaultPolicy: POLICY }),
    runsMax: 1,
    mayRunInline: false,
  })
  session.isHeld = true
  const ask = (value: number, priority: number) =>
    lane.infer({
      inputs: [tensor('INPUT0', 'UINT8', [1], [value])],
      outputs: undefined,
      signal: undefined,
      priority,
    })
  const answers = [ask(0, 0), ask(9, 9), ask(2, 0), ask(1, 1)]
  for (let run = 0; run < 4; run += 1) {
    session.finish()
    await Bun.sleep(0)
  }
  await Promise.all(answers)
  expect(session.runs.map(({ request }) => request.inputs[0]?.bytes[0])).toEqual([0, 1, 2, 9])
})

test('cutting apart what was put together gives the parts back, whatever their sizes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }),
      fc.nat(8),
      (sizes, more) => {
        const parts = sizes.map((size, index) => [
          tensor(
            'T',
            'UINT16',
            [size, 3],
            Array.from({ length: size * 6 }, (_, at) => (index * 31 + at) % 256),
          ),
        ])
        const items = sizes.reduce((sum, size) => sum + size, 0)
        const [merged] = mergeInputs(parts, items + more)
        expect(merged?.bytes.length).toBe((items + more) * 6)
        const shares = splitOutputs([merged as Tensor], { lane: 'm/1', sizes, total: items + more })
        expect(shares.map(([share]) => [...(share?.bytes ?? [])])).toEqual(
          parts.map(([part]) => [...(part?.bytes ?? [])]),
        )
      },
    ),
    { seed: SEED, numRuns: 200 },
  )
})

test('an output that does not begin with the batch is told from one that does', () => {
  const output = tensor('T', 'UINT8', [3], [1, 2, 3])
  expect(() => splitOutputs([output], { lane: 'm/1', sizes: [1, 1], total: 2 })).toThrow('max_batch_size = 0')
})
