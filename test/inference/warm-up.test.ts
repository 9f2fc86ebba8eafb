import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Lanes } from '../../src/inference/lanes.ts'
import type { WarmUpSample } from '../../src/inference/warm-up-inputs.ts'
import { makeInputs } from '../../src/inference/warm-up-inputs.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { byteLength, DATATYPES, type Datatype } from '../../src/runtime/datatypes.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, spec } from '../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

/** Its sleep ends when the test says so. */
class SleepyClock extends FakeClock {
  wake: () => void = () => undefined

  override sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }
}

function stage(...samples: WarmUpSample[]) {
  const [backend, session, clock] = [new FakeBackend(), new FakeSession(), new SleepyClock()]
  backend.sessions.set('m/1', session)
  const lanes = new Lanes({ backend, clock, runsMax: 1 })
  const load = () => lanes.load({ ...lanePlan('m', '1'), warmUp: { samples, msMax: 50 } })
  return { lanes, load, session, clock, backend }
}

const INPUT = { name: 'INPUT0', datatype: 'UINT8', dims: [2], content: 'zeros' } as const
const sample = (name: string, of: Partial<WarmUpSample> = {}): WarmUpSample => ({
  name,
  count: 1,
  batchSize: 1,
  inputs: [INPUT],
  ...of,
})

test('a version is ready once every sample has run as often as it says, and counts none of it', async () => {
  const { lanes, load, session } = stage(sample('a', { count: 3 }), sample('b', { inputs: [] }))
  session.isHeld = true
  const loading = load()
  for (let run = 1; run <= 4; run += 1) {
    await Bun.sleep(0)
    expect([session.runs.length, lanes.isReady('m', '1')]).toEqual([run, false])
    expect(lanes.index()[0]).toEqual({ model: 'm', version: '1', state: 'LOADING', reason: 'warming up' })
    session.finish()
  }
  expect(await loading).toMatchObject({ state: 'READY', reason: '' })
  expect(session.runs.map(({ request }) => request.inputs[0]?.shape)).toEqual([[2], [2], [2], [1]])
  expect(lanes.find('m', '1').statistics).toMatchObject({ inferences: 0, executions: 0 })
  expect([session.released, session.closed]).toEqual([4, 0])
})

test('what fails says which sample, and nothing is served', async () => {
  const { load, session } = stage(sample('good'), sample('bad', { inputs: [{ ...INPUT, datatype: 'FP32' }] }))
  expect(await load()).toEqual({
    model: 'm',
    version: '1',
    state: 'UNAVAILABLE',
    reason: expect.stringMatching(
      /^Cannot warm up "m\/1" with the sample "bad": .*INPUT0.* FP32 \[2\], expected UINT8/,
    ),
  })
  expect(session.closed).toBe(1)
})

test('what fails in the smallest shape is said to have been in it', async () => {
  const { load, session } = stage(sample('zeros', { inputs: [] }))
  session.isHeld = true
  const loading = load()
  await Bun.sleep(0)
  session.fail(new Error('too small'))
  expect((await loading).reason).toContain('too small; dimensions that the model leaves open were taken as 1')
})

test('a load again that cannot be warmed up leaves the old lane serving', async () => {
  const { lanes, load, session, backend } = stage(sample('a'))
  await load()
  const next = new FakeSession()
  next.isHeld = true
  backend.sessions.set('m/1', next)
  const again = load()
  await Bun.sleep(0)
  expect(lanes.find('m', '1').session).toBe(session)
  next.fail(new Error('it fell over'))
  expect(await again).toMatchObject({ state: 'READY', reason: expect.stringContaining('it fell over') })
  expect([lanes.find('m', '1').session === session, session.closed, next.closed]).toEqual([true, 0, 1])
})

test('what takes too long is a failure that says how long it may', async () => {
  const { load, session, clock } = stage(sample('slow', { count: 2 }))
  session.isHeld = true
  const loading = load()
  await Bun.sleep(0)
  clock.wake()
  await Bun.sleep(0)
  session.finish()
  expect((await loading).reason).toBe(
    'Cannot warm up "m/1" with the sample "slow": it took more than 50 ms (models.warmup_seconds_max)',
  )
})

describe('inputs', () => {
  const signature = {
    inputs: [spec('a', 'FP32', [-1, 3, -1]), { ...spec('b', 'INT64', [1]), isOptional: true }],
    outputs: [],
    unsupportedOutputs: [],
  }

  test('that are not named are zeros in the smallest shape, without the optional ones', () => {
    const bare = makeInputs(sample('a', { inputs: [] }), { signature, hasBatch: false })
    expect(bare).toEqual([{ name: 'a', datatype: 'FP32', shape: [1, 3, 1], bytes: new Uint8Array(12) }])
    const batched = makeInputs(sample('a', { inputs: [], batchSize: 2 }), { signature, hasBatch: true })
    expect(batched).toEqual([{ name: 'a', datatype: 'FP32', shape: [2, 3, 1], bytes: new Uint8Array(24) }])
  })

  test('of a file are one item, as often as the batch is large', () => {
    const inputs = [{ ...INPUT, content: Uint8Array.of(1, 2) }]
    const [made] = makeInputs(sample('a', { inputs, batchSize: 3 }), { signature, hasBatch: true })
    expect(made).toMatchObject({ shape: [3, 2], bytes: Uint8Array.of(1, 2, 1, 2, 1, 2) })
  })

  test.each([
    [
      'a file of another size',
      { inputs: [{ ...INPUT, content: new Uint8Array(3) }] },
      'has 3 bytes, UINT8 [2] has 2',
    ],
    ['a batch that the model does not take', { batchSize: 2 }, 'batch_size is 2'],
    ['no datatype', { inputs: [{ ...INPUT, datatype: 'FLOAT' }] }, '"INPUT0" is FLOAT'],
    ['more than memory can hold', { inputs: [{ ...INPUT, dims: [2 ** 31] }] }, 'at most 1073741824'],
    [
      'random strings',
      { inputs: [{ ...INPUT, datatype: 'BYTES', content: 'random' as const }] },
      'BYTES cannot be',
    ],
  ])('%s is refused', (_, of, what) => {
    expect(() => makeInputs(sample('a', of), { signature, hasBatch: false })).toThrow(what)
  })

  const filled = Object.keys(DATATYPES).filter((name) => /^(BOOL|U?INT\d\d?|B?FP?(16|32|64))$/.test(name))
  test.each(filled.filter((name) => !name.endsWith('INT4')))(
    'of %s can be random, and are not all zero',
    (name) => {
      const inputs = [{ ...INPUT, datatype: name, dims: [64], content: 'random' as const }]
      const [made] = makeInputs(sample('a', { inputs }), { signature, hasBatch: false })
      expect(made?.bytes.length).toBe(byteLength(name as Datatype, 64))
      expect(made?.bytes.some((byte) => byte !== 0)).toBe(true)
    },
  )
})
