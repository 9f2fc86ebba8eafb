/** Whole updates, with the real steps, on a device of small parts. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EdgeError } from '../../src/kit/errors.ts'
import { isWorking } from '../../src/ota/machine.ts'
import type { Parts } from '../../src/ota/parts.ts'
import { createSteps } from '../../src/ota/steps.ts'
import type { Assigned, Update } from '../../src/ota/update.ts'
import { Updates } from '../../src/ota/updates.ts'
import { TrustRefusal } from '../../src/trust/refusal.ts'
import { assigned, hashOf, installed, measured, World } from '../kit/ota-stage.ts'
import { SEED } from '../kit/seed.ts'

const WAY = 'resolve plan download verify stage probe wait activate observe commit committed'

/** A process of the agent: runs until no update is on its way, or something ends it. */
async function runAgent(world: World, wanted?: Assigned[], rev = 1): Promise<Updates> {
  const stop = new AbortController()
  const life = { isOver: false }
  const parts = mortal(world.parts(), life)
  const updates = new Updates({ ...parts, steps: createSteps(parts), stop: stop.signal })
  if (wanted !== undefined)
    updates.assign({ rev, models: wanted.map((each) => ({ ...each, rev })), keep: [], envelope: '' })
  const running = updates.run()
  const idle = async () => {
    // Each turn of the loop lets the clock flow to whatever is waited for.
    do await new Promise((resolve) => setImmediate(resolve))
    while (world.journal.working().length > 0 || !isDone(world))
    stop.abort()
  }
  try {
    await Promise.race([running, idle()])
    await running
    return updates
  } finally {
    life.isOver = true
  }
}

/** Of a process: once that has ended, nothing of it does anything any more. */
function mortal(parts: Parts, life: { readonly isOver: boolean }): Parts {
  const wrap = <T extends object>(part: T): T =>
    new Proxy(part, {
      get: (_, name) => {
        const value = Reflect.get(part, name) as unknown
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          if (life.isOver) throw new Cut('the process has ended')
          return (value as (...given: unknown[]) => unknown).apply(part, args)
        }
      },
    })
  const { journal, trust, store, serve, probe } = parts
  return {
    ...parts,
    journal: wrap(journal),
    trust: wrap(trust),
    store: wrap(store),
    serve: wrap(serve),
    probe: wrap(probe),
  }
}

/** Every model has an answer to what is assigned for it. */
function isDone(world: World): boolean {
  const latest = new Map(world.journal.latest().map((update) => [update.model, update]))
  return (world.journal.assignment?.models ?? []).every(({ model, manifest, rev }) => {
    if (world.store.pointers.get(model)?.manifest === manifest) return true
    const last = latest.get(model)
    return last !== undefined && last.manifest === manifest && last.rev === rev && !isWorking(last.state)
  })
}

function stage(from?: string): World {
  const world = new World()
  if (from !== undefined) {
    world.store.put(installed(from))
    world.serve.serving.set('yolo', from)
    world.journal.setGood('vision/yolo', { ...installed(from), typicalMs: 5, sinceMs: 0 })
  }
  return world
}

function told(world: World, model = 'vision/yolo'): string {
  return world.outbox.events
    .filter((event) => event.model === model)
    .map(({ to }) => to)
    .join(' ')
}

function ended(world: World): Update {
  const [update] = world.journal.latest()
  if (update === undefined) throw new Error('There was no update')
  return update
}

/** What the device serves is what the pointer says, and that is whole. */
function expectServing(world: World, version: string | undefined): void {
  const pointer = world.store.pointers.get('vision/yolo')
  expect(pointer?.version).toBe(version as string)
  expect(world.serve.serving.get('yolo')).toBe(version as string)
  if (pointer !== undefined) expect(world.store.installed.has(pointer.manifest)).toBe(true)
}

describe('a good version', () => {
  test.each([
    ['after another one', '1'],
    ['as the first', undefined],
  ])('%s goes the whole way and serves', async (_, from) => {
    const world = stage(from)
    await runAgent(world, [assigned()])
    expect(told(world)).toBe(WAY)
    expectServing(world, '2')
    expect(world.journal.good('vision/yolo')).toMatchObject({ version: '2', typicalMs: 5 })
    expect(world.store.discarded).toEqual([assigned().manifest])
  })

  test('is not brought again when it is already there', async () => {
    const world = stage('1')
    world.store.installed.add(assigned().manifest)
    world.store.fetchErrors = [new Error('asked for')]
    await runAgent(world, [assigned()])
    expect(told(world)).toBe(WAY)
  })
})

describe('a trial', () => {
  const { policy } = assigned()
  const patient = assigned('2', { policy: { ...policy, observeSeconds: 900, requestsMin: 200 } })
  const trialSeconds = (world: World) => {
    const at = (state: string) => world.outbox.events.find(({ to }) => to === state)?.time ?? Number.NaN
    return (at('commit') - at('observe')) / 1000
  }

  test('of the first version of a model lasts a minute: there is nothing to hold it against', async () => {
    const world = stage()
    await runAgent(world, [patient])
    expectServing(world, '2')
    expect(trialSeconds(world)).toBeGreaterThanOrEqual(60)
    expect(trialSeconds(world)).toBeLessThan(70)
  })

  test('of one that takes the place of another lasts as long as was assigned', async () => {
    const world = stage('1')
    await runAgent(world, [patient])
    expectServing(world, '2')
    expect(trialSeconds(world)).toBeGreaterThanOrEqual(900)
  })
})

describe('what is not assigned any more', () => {
  const other = assigned('1', { model: 'audio/vad' })
  const withdrawn = (world: World) => world.outbox.events.filter(({ to }) => to === 'withdrawn')

  test('serves no more, keeps its files, and is told once', async () => {
    const world = stage('1')
    await runAgent(world, [other])
    expectServing(world, undefined)
    expect(world.store.installed.has(installed('1').manifest)).toBe(true)
    await runAgent(world)
    expect(withdrawn(world)).toMatchObject([
      { model: 'vision/yolo', version: '1', from: 'committed', code: 'unassigned', rev: 1 },
    ])
  })

  test('gives its place back to what the device came with', async () => {
    const world = stage('1')
    world.store.came = { version: '0', release: 0, manifest: 'built-in' }
    world.store.installed.add('built-in')
    await runAgent(world, [other])
    expectServing(world, '0')
  })

  test('goes on while nothing was ever assigned', async () => {
    const world = stage('1')
    await runAgent(world)
    expectServing(world, '1')
  })

  test('goes on while another family has its name, until that one serves', async () => {
    const world = stage('1')
    await runAgent(world, [assigned('2', { model: 'sound/yolo' })])
    expect(withdrawn(world)).toEqual([])
  })

  test('is told and let go of at a later start, where the data plane was not there', async () => {
    const world = stage('1')
    world.serve.unload = () => Promise.reject(new EdgeError('peer_failed', 'serve does not answer'))
    await runAgent(world, [other])
    expect(withdrawn(world)).toEqual([])
    Reflect.deleteProperty(world.serve, 'unload')
    await runAgent(world)
    expectServing(world, undefined)
    expect(withdrawn(world)).toHaveLength(1)
  })
})

test('a version that is there and has rotted is let go, and brought again', async () => {
  const world = stage('1')
  world.store.installed.add(assigned().manifest)
  world.store.broken.add(assigned().manifest)
  await runAgent(world, [assigned()])
  expect(told(world)).toBe(
    'resolve plan download verify download verify stage probe wait activate observe commit committed',
  )
  expect(world.store.fetched.has(assigned().manifest)).toBe(true)
  expectServing(world, '2')
})

describe('refused before a byte of it is brought, the old one goes on', () => {
  test.each<[string, string, (world: World) => void, Partial<Assigned>]>([
    ['under the security floor', 'below_security_floor', (world) => (world.trust.floor = 3), {}],
    ['another manifest than the signed one', 'manifest_hash', () => undefined, { manifest: hashOf('x') }],
    ['another release than the signed one', 'manifest_mismatch', () => undefined, { release: 9 }],
    [
      'metadata that is not trusted',
      'metadata_tampered',
      (world) => (world.trust.refusals = [new TrustRefusal('metadata_tampered', 'no')]),
      {},
    ],
    ['the wrong hardware', 'hardware_unfit', (world) => (world.trust.hardware = ['sm87']), {}],
    [
      'an older release',
      'downgrade_not_allowed',
      (world) => world.store.put({ ...installed('1'), release: 7 }),
      {},
    ],
    ['too little space', 'no_space', (world) => (world.store.free = 999), {}],
    ['too little memory', 'no_memory', (world) => (world.trust.memoryMb = 2 ** 20), {}],
  ])('%s: %s', async (_, code, prepare, of) => {
    const world = stage('1')
    prepare(world)
    await runAgent(world, [assigned('2', of)])
    expect(ended(world)).toMatchObject({ state: 'rejected', code })
    expect(world.store.fetched.size).toBe(0)
    expectServing(world, '1')
    expect(world.journal.quarantined()).toEqual([])
  })

  test('an older release is taken where the assignment allows it', async () => {
    const world = stage('1')
    world.store.put({ ...installed('1'), release: 7 })
    await runAgent(world, [assigned('2', { allowDowngrade: true })])
    expectServing(world, '2')
  })

  test('two models of one name: name_taken', async () => {
    const world = stage('1')
    await runAgent(world, [assigned('1'), assigned('2', { model: 'other/yolo' })])
    expect(world.journal.latest()).toMatchObject([
      { model: 'other/yolo', state: 'rejected', code: 'name_taken' },
    ])
    expectServing(world, '1')
  })
})

describe('unfit in the probe: refused, quarantined, the old one goes on', () => {
  test.each([
    'load_failed',
    'golden_failed',
    'not_finite',
    'probe_crashed',
    'probe_timeout',
    'memory_exceeded',
  ] as const)('%s', async (code) => {
    const world = stage('1')
    world.probe.verdicts = [{ isFit: false, code, reason: 'said by the test' }]
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'rejected', code, reason: 'said by the test' })
    expectServing(world, '1')
    expect(world.journal.quarantined()).toMatchObject([{ manifest: assigned().manifest, code }])
    // A newer assignment of the same does not get it in.
    await runAgent(world, [assigned()], 2)
    expect(ended(world)).toMatchObject({ rev: 2, state: 'rejected', code: 'quarantined' })
    // A person does.
    world.journal.release(assigned().manifest)
    await runAgent(world, [assigned()], 3)
    expect(ended(world)).toMatchObject({ rev: 3, state: 'committed' })
  })

  test('ten times slower than the one that runs, asked again side by side', async () => {
    const world = stage('1')
    const verdicts = [50, 5, 48]
    world.probe.verdicts = verdicts.map((typicalMs) => ({ isFit: true, typicalMs }))
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'rejected', code: 'slower' })
    const [old, next] = [installed('1').manifest, assigned().manifest]
    expect(world.probe.asked.map(({ folder }) => folder)).toEqual([next, old, next])
  })

  test('slower only because the machine is: it is fit', async () => {
    const world = stage('1')
    const verdicts = [50, 45, 50]
    world.probe.verdicts = verdicts.map((typicalMs) => ({ isFit: true, typicalMs }))
    await runAgent(world, [assigned()])
    expectServing(world, '2')
  })
})

describe('on trial and bad: taken back, quarantined, told', () => {
  const back = WAY.replace('commit committed', 'revert reverted')

  test.each<[string, string, (world: World) => void]>([
    [
      'crashes',
      'crashed',
      ({ serve }) =>
        (serve.looks = [measured({ start: '1' }), measured({ start: '1' }), measured({ start: '2' })]),
    ],
    [
      'errors',
      'errors',
      ({ serve }) => (serve.looks = [measured({ requests: 100 }), measured({ requests: 40, errors: 30 })]),
    ],
    [
      'NaN',
      'not_finite',
      ({ serve }) => (serve.looks = [measured({ requests: 100 }), measured({ requests: 40, notFinite: 1 })]),
    ],
    [
      'golden samples by its real way',
      'golden_failed',
      ({ serve }) => (serve.replays = [{ samples: 2, wrong: 1, reason: 'x' }]),
    ],
  ])('%s', async (_, code, prepare) => {
    const world = stage('1')
    prepare(world)
    await runAgent(world, [assigned()])
    expect(told(world)).toBe(back)
    expect(ended(world)).toMatchObject({ state: 'reverted', code })
    expectServing(world, '1')
    expect(world.journal.quarantined()).toMatchObject([{ code }])
  })

  test('the serving process cannot load it', async () => {
    const world = stage('1')
    world.serve.unloadable.add('2')
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'reverted', code: 'load_failed', reason: 'cannot load 2' })
    expectServing(world, '1')
  })

  test('the first version of a model: nothing serves afterwards, and that is said', async () => {
    const world = stage()
    world.serve.unloadable.add('2')
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'reverted', code: 'load_failed' })
    expectServing(world, undefined)
  })

  test('kept where the policy says so, with the reason told', async () => {
    const world = stage('1')
    world.serve.replays = [{ samples: 2, wrong: 1, reason: 'x' }]
    await runAgent(world, [assigned('2', { policy: { ...assigned().policy, onFailure: 'keep' } })])
    expect(ended(world)).toMatchObject({ state: 'committed', code: 'golden_failed' })
    expectServing(world, '2')
  })
})

describe('the way back', () => {
  function unloadable(): World {
    const world = stage('1')
    world.serve.unloadable.add('2')
    return world
  }

  test('the version before is broken: the last good one', async () => {
    const world = unloadable()
    world.store.installed.add(installed('0').manifest)
    world.journal.setGood('vision/yolo', { ...installed('0'), typicalMs: undefined, sinceMs: 0 })
    world.store.broken.add(installed('1').manifest)
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'reverted' })
    expectServing(world, '0')
  })

  test('that one too: what the device came with', async () => {
    const world = unloadable()
    world.store.broken.add(installed('1').manifest)
    world.store.came = installed('0')
    world.store.installed.add(installed('0').manifest)
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'reverted' })
    expectServing(world, '0')
  })

  test('none is whole: stuck, which asks for a person', async () => {
    const world = unloadable()
    world.store.broken.add(installed('1').manifest)
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'stuck', code: 'load_failed' })
    expect(ended(world).reason).toContain('its files are not what they were')
  })
})

describe('the line', () => {
  const down = () => new EdgeError('peer_failed', 'no line')

  test('down for a while: it waits, and goes on', async () => {
    const world = stage('1')
    world.trust.refusals = [down(), down()]
    world.store.fetchErrors = [down(), down(), down()]
    await runAgent(world, [assigned()])
    expect(told(world)).toBe(WAY)
  })

  test('down for longer than the update may take: failed, with what was in the way', async () => {
    const world = stage('1')
    world.store.fetchErrors = new Array(10_000).fill(down())
    await runAgent(world, [assigned('2', { schedule: { ...assigned().schedule, deferSecondsMax: 3600 } })])
    expect(ended(world)).toMatchObject({ state: 'failed', code: 'deadline' })
    expect(ended(world).reason).toBe('not done within 3600 s, the last time: no line')
    expectServing(world, '1')
  })

  test('what the disk has spoilt is brought once more, and not a third time', async () => {
    const world = stage('1')
    world.store.wrong = [['2/model.onnx'], ['2/model.onnx']]
    await runAgent(world, [assigned()])
    expect(told(world)).toBe('resolve plan download verify download verify failed')
    expect(ended(world)).toMatchObject({ code: 'corrupt', reason: 'not what was signed: 2/model.onnx' })
    const lucky = stage('1')
    lucky.store.wrong = [['2/model.onnx']]
    await runAgent(lucky, [assigned()])
    expectServing(lucky, '2')
  })

  test('no room for a chunk: it waits, and goes on once there is', async () => {
    const world = stage('1')
    const full = new EdgeError('storage_full', 'the disk is full')
    world.store.fetchErrors = [full, full, full]
    await runAgent(world, [assigned()])
    expect(told(world)).toBe(WAY)
    expectServing(world, '2')
  })

  test('the disk refuses in the middle: failed, and the old one goes on', async () => {
    const world = stage('1')
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', syscall: 'write' })
    world.store.fetchErrors = [full]
    await runAgent(world, [assigned()])
    expect(ended(world)).toMatchObject({ state: 'failed', code: 'storage_failed' })
    expectServing(world, '1')
  })
})

describe('waiting', () => {
  const from = (world: World) =>
    assigned('2', {
      schedule: { ...assigned().schedule, deferSecondsMax: 3600, notBeforeMs: world.clock.now() + 1800_000 },
    })

  test('until it may be', async () => {
    const world = stage('1')
    const began = world.clock.now()
    await runAgent(world, [from(world)])
    expectServing(world, '2')
    const activated = world.outbox.events.find(({ to }) => to === 'activate')
    expect((activated?.time ?? 0) - began).toBeGreaterThanOrEqual(1800_000)
  })

  test('no longer than it may take', async () => {
    const world = stage('1')
    world.gate.inhibition = 'the file /run/limpet/inhibit is there'
    await runAgent(world, [from(world)])
    expect(ended(world)).toMatchObject({ state: 'failed', code: 'window' })
    expect(ended(world).reason).toBe(
      'not done within 3600 s, it waited for: the file /run/limpet/inhibit is there',
    )
    expectServing(world, '1')
  })

  test('for a person', async () => {
    const world = stage('1')
    const wanted = assigned('2', {
      schedule: { ...assigned().schedule, needsApproval: true, deferSecondsMax: 60 },
    })
    await runAgent(world, [wanted])
    expect(ended(world)).toMatchObject({ state: 'failed', code: 'window' })
    world.gate.approved.add(wanted.manifest)
    await runAgent(world, [wanted], 2)
    expectServing(world, '2')
  })
})

describe('several models', () => {
  test('one waits for its window, the other does not wait for it', async () => {
    const world = stage('1')
    const night = { ...assigned().schedule, notBeforeMs: world.clock.now() + 3600_000 }
    const other = assigned('5', { model: 'audio/vad' })
    await runAgent(world, [assigned('2', { schedule: night, priority: 90 }), other])
    const times = (model: string, to: string) =>
      world.outbox.events.find((event) => event.model === model && event.to === to)?.time ?? 0
    expect(times('audio/vad', 'committed')).toBeLessThan(times('vision/yolo', 'activate'))
    expectServing(world, '2')
  })

  test('one on trial at a time, the urgent one first', async () => {
    const world = stage('1')
    const models = ['a/one', 'b/two', 'c/three']
    const wanted = models.map((model, index) => assigned('3', { model, priority: index === 2 ? 90 : 10 }))
    await runAgent(world, wanted)
    const trials = world.outbox.events.filter(({ to }) => to === 'activate' || to === 'committed')
    expect(trials.map(({ model, to }) => `${model} ${to}`)).toEqual(
      ['c/three', 'a/one', 'b/two'].flatMap((model) => [`${model} activate`, `${model} committed`]),
    )
  })
})

describe('a newer assignment', () => {
  /** Assigns another version as soon as the first is told to be in the state. */
  async function supersede(state: string, next: Assigned[]): Promise<World> {
    const world = stage('1')
    const stop = new AbortController()
    const parts = world.parts()
    const updates = new Updates({ ...parts, steps: createSteps(parts), stop: stop.signal })
    const put = world.outbox.put.bind(world.outbox)
    let isAssigned = false
    world.outbox.put = (event: object) => {
      put(event)
      if (isAssigned || (event as { to: string }).to !== state) return
      isAssigned = true
      queueMicrotask(() =>
        updates.assign({ rev: 2, models: next.map((each) => ({ ...each, rev: 2 })), keep: [], envelope: '' }),
      )
    }
    updates.assign({ rev: 1, models: [assigned()], keep: [], envelope: '' })
    const running = updates.run()
    const wanted = next[0]?.manifest
    do await new Promise((resolve) => setImmediate(resolve))
    while (
      !isAssigned ||
      world.journal.working().length > 0 ||
      (wanted !== undefined && world.store.pointers.get('vision/yolo')?.manifest !== wanted)
    )
    stop.abort()
    await running
    return world
  }

  test.each(['resolve', 'plan', 'download', 'verify', 'stage', 'probe', 'wait'])(
    'in %s: ends the first at once',
    async (state) => {
      const world = await supersede(state, [assigned('3')])
      const first = world.outbox.events.filter(({ version }) => version === '2')
      expect(first.at(-1)).toMatchObject({ from: state, to: 'rejected', code: 'superseded' })
      expectServing(world, '3')
    },
  )

  test.each(['activate', 'observe', 'commit'])('in %s: waits until the first has ended', async (state) => {
    const world = await supersede(state, [assigned('3')])
    const first = world.outbox.events.filter(({ version }) => version === '2')
    expect(first.at(-1)).toMatchObject({ to: 'committed' })
    expectServing(world, '3')
  })

  test('of the same version: goes on, and counts for the newer one', async () => {
    const world = await supersede('download', [assigned('2')])
    expect(told(world)).toBe(WAY)
    expect(world.outbox.events.at(-1)).toMatchObject({ to: 'committed', rev: 2 })
  })

  test('of nothing: withdrawn', async () => {
    const world = await supersede('download', [])
    expect(told(world)).toBe('resolve plan download rejected withdrawn')
    expectServing(world, undefined)
  })
})

/** Ends the process at the n-th call to the world, before the call or after it. */
class Cut extends Error {
  override readonly name = 'Cut'
}

function cutAt(world: World, number: number): void {
  let calls = 0
  const parts: object[] = [world.trust, world.store, world.serve, world.probe]
  for (const part of parts as Record<string, unknown>[]) {
    const proto = Object.getPrototypeOf(part) as object
    for (const name of Object.getOwnPropertyNames(proto)) {
      const call = part[name]
      if (name === 'constructor' || typeof call !== 'function' || name === 'folder' || name === 'put')
        continue
      part[name] = async (...args: unknown[]) => {
        calls += 1
        if (calls === number) throw new Cut(`before ${name}`)
        const result: unknown = await (call as (...given: unknown[]) => unknown).apply(part, args)
        calls += 1
        if (calls === number) throw new Cut(`after ${name}`)
        return result
      }
    }
  }
}

async function surviving(world: World, wanted: Assigned[]): Promise<number> {
  let starts = 0
  for (let assign: Assigned[] | undefined = wanted; ; assign = undefined) {
    starts += 1
    try {
      await runAgent(world, assign)
      return starts
    } catch (error) {
      if (!(error instanceof Cut)) throw error
    }
  }
}

describe('killed at every call to the world', () => {
  test.each([
    ['a good version, after another', '1', () => undefined, '2'],
    ['a good version, as the first', undefined, () => undefined, '2'],
    ['one that is taken back', '1', (world: World) => world.serve.unloadable.add('2'), '1'],
    ['the first, taken back', undefined, (world: World) => world.serve.unloadable.add('2'), undefined],
  ] as const)(
    '%s: the update ends, and a whole version serves',
    async (_, from, prepare, serves) => {
      let cuts = 0
      for (let number = 1; ; number += 1) {
        const world = stage(from)
        prepare(world)
        cutAt(world, number)
        const starts = await surviving(world, [assigned()])
        expect(['committed', 'reverted']).toContain(ended(world).state)
        expectServing(world, serves)
        if (starts === 1) break
        cuts += 1
      }
      console.log(`${cuts} kill points: the update ended and the right version served after each`)
      expect(cuts).toBeGreaterThan(20)
    },
    60_000,
  )
})

test('whatever the world does, in whatever order, a whole version serves and every update ends', async () => {
  const anyTrouble = fc.record({
    verdict: fc.constantFrom('fit', 'fit', 'golden_failed', 'probe_crashed'),
    unloadable: fc.boolean(),
    wrong: fc.nat(3),
    lineDown: fc.nat(5),
    crashed: fc.boolean(),
    broken: fc.boolean(),
    cut: fc.nat(60),
  })
  await fc.assert(
    fc.asyncProperty(anyTrouble, fc.array(anyTrouble, { maxLength: 2 }), async (first, more) => {
      const world = stage('1')
      let rev = 0
      for (const trouble of [first, ...more]) {
        rev += 1
        const version = String(rev + 1)
        if (trouble.verdict !== 'fit')
          world.probe.verdicts = [{ isFit: false, code: trouble.verdict as 'golden_failed', reason: 'x' }]
        if (trouble.unloadable) world.serve.unloadable.add(version)
        world.store.wrong = new Array(trouble.wrong).fill(['2/model.onnx'])
        world.store.fetchErrors = Array.from(
          { length: trouble.lineDown },
          () => new EdgeError('peer_failed', 'no line'),
        )
        world.serve.looks = trouble.crashed
          ? [measured({ start: '1' }), measured({ start: '2' }), measured({ start: '3' })]
          : []
        if (trouble.cut > 0) cutAt(world, trouble.cut)
        await surviving(world, [assigned(version, { rev })])
        const pointer = world.store.pointers.get('vision/yolo')
        expect(pointer).toBeDefined()
        expectServing(world, pointer?.version)
        expect(world.journal.working()).toEqual([])
        expect(world.journal.isQuarantined(pointer?.manifest ?? '')).toBe(false)
        for (const [index, event] of world.outbox.events.entries())
          if (event.from !== 'assigned') expect(event.from).toBe(world.outbox.told[index - 1] as never)
      }
    }),
    { seed: SEED, numRuns: 100 },
  )
}, 60_000)
