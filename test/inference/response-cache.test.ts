import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { LaneRequest } from '../../src/inference/job.ts'
import { Lane } from '../../src/inference/lane.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import { ResponseCache } from '../../src/inference/response-cache.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { Tensor } from '../../src/runtime/backend.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, scheduling, spec, tensor } from '../kit/fake-session.ts'
import { SEED } from '../kit/seed.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const SIGNATURE = {
  inputs: [spec('a', 'UINT8', [-1]), { ...spec('b', 'UINT8', undefined), isOptional: true }],
  outputs: [spec('x', 'UINT8', [-1]), spec('y', 'UINT8', [-1])],
  unsupportedOutputs: [],
}

/** Its sleep does not end. */
class SleepingClock extends FakeClock {
  override sleep(): Promise<void> {
    return new Promise(() => undefined)
  }
}

function stage(bytesMax = 1e6, session = new FakeSession(SIGNATURE)) {
  const cache = new ResponseCache(bytesMax)
  const clock = new FakeClock()
  const parts = { clock, scheduling: scheduling(), runsMax: 1, mayRunInline: true, cache }
  const lane = new Lane({ model: 'm', version: '1', session, ...parts })
  const ask = async (request: Partial<LaneRequest> = {}) => {
    const inputs = [tensor('a', 'UINT8', [2], [1, 2])]
    const result = await lane.infer({ inputs, outputs: undefined, signal: undefined, ...request })
    const outputs = result.outputs.map(({ name, bytes }) => [name, ...bytes])
    result.release()
    return outputs
  }
  return { cache, clock, lane, session, ask }
}

const a = (bytes: number[], shape = [bytes.length]): Tensor => tensor('a', 'UINT8', shape, bytes)
const b = (bytes: number[], shape = [bytes.length]): Tensor => tensor('b', 'UINT8', shape, bytes)

describe('a request that was answered before', () => {
  test('is answered the same without a run, however often', async () => {
    const { session, ask } = stage()
    const first = await ask()
    expect(await ask()).toEqual(first)
    expect(await ask()).toEqual(first)
    expect([session.runs.length, session.released]).toEqual([1, 1])
  })

  test('is answered when all outputs are named, which is what naming none means', async () => {
    const { session, ask } = stage()
    await ask()
    await ask({ outputs: ['x', 'y'] })
    expect(session.runs.length).toBe(1)
  })

  test('counts as Triton counts it: a success that waited and was no inference', async () => {
    const { lane, clock, ask } = stage()
    clock.advance(5)
    await ask()
    await ask()
    const { statistics } = lane
    const { success, queue, cacheHit, cacheMiss, input, infer, output, inferences, executions } = statistics
    expect([success.count, queue.count, cacheHit.count, cacheMiss.count]).toEqual([2, 2, 1, 1])
    expect([input.count, infer.count, output.count, inferences, executions]).toEqual([1, 1, 1, 1, 1])
    expect(statistics.lastInferenceMs).toBe(5)
  })

  test('has memory of its own: what the runtime takes back does not change it', async () => {
    const { session, ask } = stage()
    const input = a([7, 8])
    expect(await ask({ inputs: [input] })).toEqual([
      ['x', 7, 8],
      ['y', 7, 8],
    ])
    // The fake answers with its input's own bytes.
    input.bytes.fill(0)
    expect(await ask({ inputs: [a([7, 8])] })).toEqual([
      ['x', 7, 8],
      ['y', 7, 8],
    ])
    expect(session.runs.length).toBe(1)
  })
})

describe('a request that differs is run', () => {
  const cases: readonly [what: string, request: Partial<LaneRequest>][] = [
    ['in a byte', { inputs: [a([1, 3])] }],
    ['in its length', { inputs: [a([1, 2, 0])] }],
    ['in what belongs to which input', { inputs: [a([1]), b([2])] }],
    ['in what belongs to which input, the other way', { inputs: [a([]), b([1, 2])] }],
    ['in the shape of an input', { inputs: [a([1, 2]), b([], [0, 2])] }],
    ['in the shape of an input, the other way', { inputs: [a([1, 2]), b([], [2, 0])] }],
    ['in the outputs that it wants', { outputs: ['x'] }],
    ['in their order', { outputs: ['y', 'x'] }],
  ]

  test.each(cases)('%s', async (_, request) => {
    const { session, ask } = stage()
    for (const [, other] of cases) if (other !== request) await ask(other)
    await ask()
    const before = session.runs.length
    await ask(request)
    expect(session.runs.length).toBe(before + 1)
  })

  test('to another model, which has the same cache', async () => {
    const { cache, clock, ask } = stage()
    await ask()
    const session = new FakeSession(SIGNATURE)
    const parts = { clock, scheduling: scheduling(), runsMax: 1, mayRunInline: true, cache }
    const lane = new Lane({ model: 'm', version: '1', session, ...parts })
    ;(await lane.infer({ inputs: [a([1, 2])], outputs: undefined, signal: undefined })).release()
    expect(session.runs.length).toBe(1)
  })

  test('when its bytes lie in memory that a client shares', async () => {
    const { session, ask, cache } = stage()
    await ask({ isVolatile: true })
    await ask({ isVolatile: true })
    expect([session.runs.length, cache.entries]).toEqual([2, 0])
  })

  test('when it has more bytes than are hashed', async () => {
    const { session, lane, cache } = stage(1e9)
    for (const bytes of [2 ** 24, 2 ** 24, 2 ** 24 + 1, 2 ** 24 + 1]) {
      const inputs = [{ ...a([]), shape: [bytes], bytes: new Uint8Array(bytes) }]
      ;(await lane.infer({ inputs, outputs: undefined, signal: undefined })).release()
    }
    expect([session.runs.length, cache.entries]).toEqual([3, 1])
  })
})

test('what fails is not kept', async () => {
  const { session, ask, lane } = stage()
  session.isHeld = true
  const failing = ask()
  session.fail(new EdgeError('runtime_failed', 'once'))
  await expect(failing).rejects.toThrow('once')
  session.isHeld = false
  await ask()
  expect([session.runs.length, lane.statistics.cacheMiss.count]).toEqual([2, 1])
})

describe('a version that is loaded again', () => {
  test('answers nothing of what it was before, whose memory is given back', async () => {
    const backend = new FakeBackend()
    const cache = new ResponseCache(1e6)
    const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1, cache })
    const request = { inputs: [tensor('INPUT0', 'UINT8', [1], [1])], outputs: undefined, signal: undefined }
    const runs: number[] = []
    for (let load = 0; load < 2; load += 1) {
      const session = new FakeSession()
      backend.sessions.set('m/1', session)
      await lanes.load({ ...lanePlan('m', '1'), isCached: true })
      for (let ask = 0; ask < 2; ask += 1) (await lanes.find('m', '1').infer(request)).release()
      runs.push(session.runs.length)
    }
    expect([runs, cache.entries]).toEqual([[1, 1], 1])
    await lanes.unload('m', '1')
    expect([cache.entries, cache.bytes]).toEqual([0, 0])
  })

  test('is warmed up by runs, not by what it answered a moment ago', async () => {
    const backend = new FakeBackend()
    const session = new FakeSession()
    backend.sessions.set('m/1', session)
    const clock = new SleepingClock()
    const lanes = new Lanes({ backend, clock, runsMax: 1, cache: new ResponseCache(1e6) })
    const input = { name: 'INPUT0', datatype: 'UINT8', dims: [1], content: 'zeros' } as const
    const samples = [{ name: 'a', count: 3, batchSize: 1, inputs: [input] }]
    await lanes.load({ ...lanePlan('m', '1'), isCached: true, warmUp: { samples, msMax: 50 } })
    expect([session.runs.length, lanes.cache?.entries]).toEqual([3, 0])
  })

  test.each([true, false])('keeps answers only where its settings say so: %p', async (isCached) => {
    const backend = new FakeBackend()
    backend.sessions.set('m/1', new FakeSession())
    const cache = new ResponseCache(1e6)
    const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1, cache })
    await lanes.load({ ...lanePlan('m', '1'), isCached })
    expect(lanes.find('m', '1').isCached).toBe(isCached)
  })
})

describe('the bound', () => {
  const outputs = (bytes: number) => [{ ...a([]), bytes: new Uint8Array(bytes) }]

  test('an answer just within it is kept, one past it is not', () => {
    const cache = new ResponseCache(1024 + 64)
    cache.keep('past', 1, outputs(65))
    expect([cache.find('past'), cache.bytes]).toEqual([undefined, 0])
    cache.keep('within', 1, outputs(64))
    expect([cache.find('within')?.[0]?.bytes.length, cache.bytes]).toEqual([64, 1088])
  })

  test('is held whatever comes, and what was not asked for longest leaves first', () => {
    const sizes = fc.array(fc.record({ key: fc.nat(12), bytes: fc.nat(5000), isKept: fc.boolean() }), {
      maxLength: 200,
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30_000 }), sizes, (bytesMax, steps) => {
        const cache = new ResponseCache(bytesMax)
        let order: { key: number; bytes: number }[] = []
        let evictions = 0
        const total = () => order.reduce((sum, { bytes }) => sum + bytes, 0)
        for (const { key, bytes, isKept } of steps) {
          const found = order.find((entry) => entry.key === key)
          expect(cache.find(String(key)) !== undefined).toBe(found !== undefined)
          if (found !== undefined) order = [...order.filter((entry) => entry !== found), found]
          const whole = Math.ceil(bytes / 16) * 16 + 1024
          if (!isKept || whole > bytesMax) continue
          cache.keep(String(key), 1, outputs(bytes))
          order = order.filter((entry) => entry.key !== key)
          while (total() + whole > bytesMax) {
            order.shift()
            evictions += 1
          }
          order.push({ key, bytes: whole })
          expect([cache.bytes, cache.entries, cache.evictions]).toEqual([total(), order.length, evictions])
          expect(cache.bytes).toBeLessThanOrEqual(bytesMax)
        }
      }),
      { seed: SEED },
    )
  })
})
