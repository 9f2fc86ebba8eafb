/** Lanes under a memory budget, loaded on demand, and swapped one after the other. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Lane } from '../../src/inference/lane.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import { DEFAULT_LIFE, type LifePolicy } from '../../src/inference/life.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, tensor } from '../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

/** Those who sleep wake when the test turns the hands. */
class TurnedClock extends FakeClock {
  readonly #sleepers: { readonly atMs: number; readonly wake: () => void }[] = []

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#sleepers.push({ atMs: this.elapsed() + ms, wake: resolve })
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  override advance(ms: number): void {
    super.advance(ms)
    for (const { atMs, wake } of this.#sleepers) if (atMs <= this.elapsed()) wake()
  }
}

const BROKEN = new EdgeError('model_invalid', 'the graph is broken')

function stage(options: { bytesMax?: number; available?: number; waitItemsMax?: number } = {}) {
  const { bytesMax = 100, available = Number.POSITIVE_INFINITY, waitItemsMax = 4 } = options
  const [backend, clock] = [new FakeBackend(), new TurnedClock()]
  const lanes = new Lanes({
    backend,
    clock,
    runsMax: 1,
    memory: { bytesMax, availableBytes: async () => available },
    wait: { waitMsMax: 1000, waitItemsMax },
  })
  const plan = (id: string, fileBytes: number, life: Partial<LifePolicy> = {}) => {
    const [model = '', version = ''] = id.split('/')
    if (!backend.sessions.has(id)) backend.sessions.set(id, new FakeSession())
    return { ...lanePlan(model, version), fileBytes, life: { ...DEFAULT_LIFE, ...life } }
  }
  /** Loads, and lets its turn pass. */
  const load = async (id: string, fileBytes: number, life: Partial<LifePolicy> = {}) => {
    const status = await lanes.load(plan(id, fileBytes, life))
    clock.advance(200)
    return status
  }
  const ready = () => lanes.ready().map(({ id }) => id)
  const status = (id: string) => lanes.index().find(({ model, version }) => `${model}/${version}` === id)
  const session = (id: string) => backend.sessions.get(id) as FakeSession
  return { lanes, backend, clock, plan, load, ready, status, session }
}

const ask = (lane: Lane) =>
  lane.infer({ inputs: [tensor('INPUT0', 'UINT8', [1], [1])], outputs: undefined, signal: undefined })

async function refusal(asked: Lane | Promise<Lane>): Promise<string> {
  try {
    await asked
  } catch (error) {
    if (error instanceof EdgeError) return `${error.code}: ${error.message}`
  }
  throw new Error('Nothing was refused')
}

/** Lets everything go on that does not wait for the clock. */
const settle = () => Bun.sleep(1)

describe('a memory budget', () => {
  test('lets go of what was used least recently, and says for whom', async () => {
    const { lanes, load, ready, status, clock } = stage()
    await load('a/1', 40)
    await load('b/1', 40)
    clock.advance(10)
    ;(await ask(lanes.find('a', '1'))).release()
    expect(await load('c/1', 30)).toMatchObject({ state: 'READY' })
    expect(ready()).toEqual(['a/1', 'c/1'])
    expect(status('b/1')).toMatchObject({
      state: 'UNAVAILABLE',
      reason: 'evicted: "c/1" needed 30 of 100 bytes (models.memory_bytes_max)',
    })
    expect(lanes.counts).toMatchObject({ evictions: 1, loads: 3, loadsFailed: 0 })
  })

  test('spares what is pinned, and refuses by name what does not fit beside it or at all', async () => {
    const { load, ready, backend } = stage()
    await load('a/1', 60, { isPinned: true })
    await load('t/1', 10, { isTransient: true })
    expect((await load('b/1', 40)).reason).toBe(
      'Cannot load "b/1": it needs 40 bytes, and 70 of 100 (models.memory_bytes_max) are held by what is not let go',
    )
    expect((await load('c/1', 101)).reason).toBe(
      'Cannot load "c/1": it needs 101 bytes, at most 100 (models.memory_bytes_max)',
    )
    expect(ready()).toEqual(['a/1', 't/1'])
    expect([...backend.sessions.values()].map((session) => (session as FakeSession).closed)).toEqual([
      0, 0, 0, 0,
    ])
  })

  test('holds for what a version has grown to once it is loaded, too', async () => {
    const { load, ready, session, plan } = stage()
    await load('a/1', 40)
    plan('b/1', 50)
    const grown = session('b/1')
    let asked = 0
    Object.defineProperty(grown, 'arenaBytes', { get: () => (asked++ === 0 ? 0 : 20) })
    expect(await load('b/1', 50)).toMatchObject({ state: 'READY' })
    expect(ready()).toEqual(['b/1'])
    plan('c/1', 50)
    const tooMuch = session('c/1')
    let times = 0
    Object.defineProperty(tooMuch, 'arenaBytes', { get: () => (times++ === 0 ? 0 : 60) })
    expect((await load('c/1', 50)).reason).toContain('it needs 110 bytes')
    expect(tooMuch.closed).toBe(1)
  })

  test('what is let go answers what it has first; only then is the other one loaded', async () => {
    const { lanes, load, ready, session } = stage()
    await load('a/1', 60)
    const old = session('a/1')
    old.isHeld = true
    const pending = ask(lanes.find('a', '1'))
    const loading = load('b/1', 60)
    await settle()
    expect([ready(), old.closed]).toEqual([[], 0])
    old.finish()
    ;(await pending).release()
    await loading
    expect([ready(), old.closed]).toEqual([['b/1'], 1])
  })

  test('what has just been loaded has its turn before it goes', async () => {
    const { lanes, plan, ready, clock } = stage()
    await lanes.load(plan('a/1', 60))
    const loading = lanes.load(plan('b/1', 60))
    await settle()
    expect(ready()).toEqual(['a/1'])
    clock.advance(100)
    await loading
    expect(ready()).toEqual(['b/1'])
  })
})

describe('loaded on demand', () => {
  const ON_DEMAND = { isOnDemand: true }

  test('by the first request, once for all who ask meanwhile', async () => {
    const { lanes, plan, status, backend, session } = stage()
    expect(lanes.know(plan('a/1', 10, ON_DEMAND))).toMatchObject({
      state: 'UNAVAILABLE',
      reason: 'not loaded yet: the first request for it does that',
    })
    const loaded = session('a/1')
    const slow = Promise.withResolvers<FakeSession>()
    backend.sessions.set('a/1', slow.promise)
    const asked = [lanes.obtain('a', '1'), lanes.obtain('a', undefined), lanes.obtain('a', '1')]
    await settle()
    expect([status('a/1')?.state, lanes.waiting]).toEqual(['LOADING', 3])
    slow.resolve(loaded)
    const got = await Promise.all(asked)
    expect(new Set(got).size).toBe(1)
    expect([lanes.waiting, lanes.counts.loads, lanes.counts.loadsOnDemand]).toEqual([0, 1, 1])
    expect(lanes.obtain('a', '1')).toBe(lanes.find('a', '1'))
  })

  test('again after it was let go, but not after it was unloaded by hand', async () => {
    const { lanes, load, ready } = stage()
    await load('a/1', 60, ON_DEMAND)
    await load('b/1', 60)
    expect(ready()).toEqual(['b/1'])
    expect((await lanes.obtain('a', undefined)).id).toBe('a/1')
    expect(ready()).toEqual(['a/1'])
    await lanes.unload('a', '1')
    expect(() => lanes.obtain('a', '1')).toThrow('it is UNAVAILABLE: unloaded')
    expect(() => lanes.obtain('b', '1')).toThrow('it is UNAVAILABLE: evicted: ')
  })

  test('a version that was let go still answers for its model, and what is there tells about the model', async () => {
    const { lanes, load } = stage()
    await load('a/1', 20, { isPinned: true })
    await load('a/2', 40, ON_DEMAND)
    await load('b/1', 60)
    expect(lanes.ready().map(({ id }) => id)).toEqual(['a/1', 'b/1'])
    expect(lanes.find('a', undefined).id).toBe('a/1')
    const asked = lanes.obtain('a', undefined)
    await settle()
    // Nobody has to keep away from a server that loads what it was asked for.
    expect(lanes.isLoading()).toBe(false)
    expect((await asked).id).toBe('a/2')
  })

  test('two that fit only one at a time take turns, and everyone who asks is answered', async () => {
    const { lanes, plan, clock } = stage({ waitItemsMax: 64 })
    for (const id of ['a/1', 'b/1']) lanes.know(plan(id, 60, ON_DEMAND))
    const answers: string[] = []
    const client = async (model: string) => {
      for (let count = 0; count < 5; count += 1) {
        const lane = await lanes.obtain(model, '1')
        ;(await ask(lane)).release()
        answers.push(lane.id)
      }
    }
    let isDone = false
    const clients = ['a', 'b', 'a', 'b', 'a', 'b'].map(client)
    const all = Promise.all(clients).then(() => (isDone = true))
    while (!isDone) {
      await settle()
      clock.advance(50)
    }
    await all
    expect(answers.length).toBe(30)
    expect(lanes.counts.loadsFailed).toBe(0)
  })

  test('one that fails says why at once for a while, and is tried again later', async () => {
    const { lanes, plan, backend, clock, session } = stage()
    lanes.know(plan('a/1', 10, ON_DEMAND))
    const good = session('a/1')
    backend.sessions.set('a/1', BROKEN)
    const why = 'model_unavailable: Cannot infer with "a/1": it is UNAVAILABLE: the graph is broken'
    expect(await refusal(lanes.obtain('a', '1'))).toBe(why)
    backend.sessions.set('a/1', good)
    expect(await refusal(lanes.obtain('a', '1'))).toBe(why)
    clock.advance(5000)
    expect((await lanes.obtain('a', '1')).id).toBe('a/1')
  })

  test('waiting is bounded in number and in time, and ends when the client goes', async () => {
    const { lanes, plan, backend, clock } = stage({ waitItemsMax: 2 })
    lanes.know(plan('a/1', 10, ON_DEMAND))
    backend.sessions.set('a/1', new Promise<FakeSession>(() => undefined))
    const client = new AbortController()
    const first = refusal(lanes.obtain('a', '1'))
    const second = refusal(lanes.obtain('a', '1', { signal: client.signal }))
    expect(await refusal(lanes.obtain('a', '1'))).toBe(
      'queue_full: Cannot wait for "a" to be loaded: 2 requests wait for models, at most 2 (models.load_wait_items_max)',
    )
    client.abort()
    expect(await second).toBe('cancelled: Cannot infer with "a": cancelled')
    clock.advance(1000)
    expect(await first).toBe(
      'deadline_exceeded: Cannot infer with "a": it was not loaded within 1000 ms (models.load_wait_seconds_max)',
    )
    expect(lanes.waiting).toBe(0)
  })
})

describe('a version that takes the place of another', () => {
  const swap = { replaces: ['1'], labels: { stable: '2' } }

  test('is loaded beside it where there is room, and nobody waits', async () => {
    const { lanes, load, plan, ready } = stage()
    await load('a/1', 40)
    await lanes.load(plan('a/2', 40), swap)
    expect(ready()).toEqual(['a/1', 'a/2'])
    expect(lanes.counts.swaps.keep_both.snapshot.count).toBe(1)
  })

  test.each([
    ['the budget', { bytesMax: 100 }, {}],
    ['the memory of the system', { bytesMax: 0, available: 100 }, {}],
    ['the model', { bytesMax: 0 }, { swap: 'drain' as const }],
  ])('comes after it where %s wants that; requests wait, labels follow', async (_, memory, life) => {
    const { lanes, load, plan, ready, status, session, backend } = stage(memory)
    await load('a/1', 60, life)
    lanes.moveLabels('a', { stable: '1' })
    const old = session('a/1')
    old.isHeld = true
    const pending = ask(lanes.find('a', '1'))
    const next = Promise.withResolvers<FakeSession>()
    backend.sessions.set('a/2', next.promise)
    const loading = lanes.load(plan('a/2', 60, life), swap)
    await settle()
    const asked = [lanes.obtain('a', undefined), lanes.obtain('a', 'stable'), lanes.obtain('a', '2')]
    expect([ready(), status('a/1')?.state, old.closed]).toEqual([[], 'UNLOADING', 0])
    expect(status('a/1')?.reason).toBe('drained to make room for version 2, and loaded again if that fails')
    old.finish()
    ;(await pending).release()
    await settle()
    expect([old.closed, lanes.waiting]).toEqual([1, 3])
    next.resolve(new FakeSession())
    expect((await Promise.all(asked)).map(({ id }) => id)).toEqual(['a/2', 'a/2', 'a/2'])
    expect(await loading).toMatchObject({ state: 'READY', reason: '' })
    expect([ready(), lanes.labels('a'), status('a/1')?.reason]).toEqual([
      ['a/2'],
      { stable: '2' },
      'unloaded',
    ])
    expect(lanes.counts.swaps.drain.snapshot.count).toBe(1)
  })

  test('and fails brings the old one back, which answers those who waited', async () => {
    const { lanes, load, plan, ready, status, backend } = stage()
    await load('a/1', 60)
    const next = Promise.withResolvers<FakeSession>()
    backend.sessions.set('a/2', next.promise)
    const again = new FakeSession()
    const loading = lanes.load(plan('a/2', 60), swap)
    await settle()
    backend.sessions.set('a/1', again)
    const asked = [lanes.obtain('a', undefined), lanes.obtain('a', '1')]
    next.reject(BROKEN)
    expect(await loading).toMatchObject({ state: 'UNAVAILABLE', reason: 'the graph is broken' })
    expect((await Promise.all(asked)).map(({ id }) => id)).toEqual(['a/1', 'a/1'])
    expect(lanes.find('a', '1').session).toBe(again)
    expect([ready(), status('a/1')?.reason, lanes.counts.restores]).toEqual([['a/1'], '', 1])
  })

  test('and neither can be loaded says both reasons', async () => {
    const { lanes, load, plan, status, backend } = stage()
    await load('a/1', 60)
    backend.sessions.set('a/1', BROKEN)
    await lanes.load(plan('a/1', 60))
    expect(status('a/1')).toMatchObject({
      state: 'UNAVAILABLE',
      reason:
        'the graph is broken, and what was loaded before could not be loaded again: the graph is broken',
    })
    expect(() => lanes.obtain('a', undefined)).toThrow('could not be loaded again')
  })

  test('never drains what came in a request and could not come back', async () => {
    const { lanes, load, plan, ready } = stage({ bytesMax: 0, available: 10 })
    await load('a/1', 60, { isTransient: true, swap: 'drain' })
    await lanes.load(plan('a/2', 60, { swap: 'drain' }), swap)
    expect(ready()).toEqual(['a/1', 'a/2'])
  })
})
