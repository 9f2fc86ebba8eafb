/** Rollouts over fleets that behave well, or badly in one way; `rollout-properties.test.ts` has those that do as they please. */
import { describe, expect, test } from 'bun:test'
import { bucketOf, placeDevices, RolloutRequest } from '../../src/registry/rollout-plan.ts'
import { entryOf, type Fate, MODEL, manifestOf, World } from './rollout-world.ts'

const TWO_WAVES = [
  { count: 1, soak_seconds: 10, success_percent_min: 100 },
  { percent: 100, soak_seconds: 10, success_percent_min: 60 },
]

/** Cams that run version 1, which is assigned to all. */
function stage(fates: readonly Fate[] = [], of: { cams?: number } = {}): World {
  const world = new World(1)
  world.assignments.assign('all', [entryOf('1')])
  for (let at = 0; at < (of.cams ?? 6); at += 1)
    world.enrol(`cam-0${at}`, { version: '1', fate: fates[at] ?? 'good' })
  world.run(2)
  return world
}

const runningOf = (world: World) => [...world.sims.values()].map(({ running }) => running).join(' ')

describe('waves', () => {
  const parse = (waves: object[]) => RolloutRequest.parse({ model: MODEL, version: '2', waves }).waves
  const fleet = Array.from({ length: 1_000 }, (_, at) => ({
    id: `cam-${at}`,
    hardware: at < 3 ? 'rare' : 'x64',
    isOnline: true,
  }))

  test('a bucket is the rollout and the device, and nothing else', () => {
    expect(bucketOf('r-1', 'cam-01')).toBe(bucketOf('r-1', 'cam-01'))
    expect(bucketOf('r-1', 'cam-01')).not.toBe(bucketOf('r-2', 'cam-01'))
    const some = fleet.filter(({ id }) => bucketOf('r-7', id) < 1_000).length
    expect(some).toBeGreaterThan(60)
    expect(some).toBeLessThan(140)
  })

  test('are as large as they say, hold each device once, and the first one each class of hardware', () => {
    const placed = placeDevices(
      'r-1',
      parse([{ count: 5 }, { percent: 10 }, { percent: 50 }, { percent: 100 }]),
      fleet,
    )
    const sizes = [0, 1, 2, 3].map((wave) => placed.filter((one) => one.wave === wave).length)
    expect(sizes[0]).toBeGreaterThanOrEqual(5)
    expect(sizes[0]).toBeLessThanOrEqual(6)
    expect([sizes[0] ?? 0, sizes[1] ?? 0].reduce((a, b) => a + b)).toBe(100)
    expect(sizes.slice(2)).toEqual([400, 500])
    expect(new Set(placed.map(({ device }) => device)).size).toBe(1_000)
    const canaries = placed.filter(({ wave }) => wave === 0).map(({ device }) => device)
    expect(new Set(canaries.map((id) => fleet.find((one) => one.id === id)?.hardware))).toEqual(
      new Set(['rare', 'x64']),
    )
  })

  test('canaries of a class are chosen among those that are there', () => {
    const away = fleet.map((device, at) => ({ ...device, isOnline: device.hardware !== 'rare' || at === 2 }))
    const placed = placeDevices('r-1', parse([{ count: 1 }, { percent: 100 }]), away)
    const rare = placed.filter(
      ({ wave, device }) => wave === 0 && ['cam-0', 'cam-1', 'cam-2'].includes(device),
    )
    expect(rare.map(({ device }) => device)).toEqual(['cam-2'])
  })

  test('named devices come where they are named', () => {
    const placed = placeDevices(
      'r-1',
      parse([{ devices: ['cam-9', 'cam-8'] }, { percent: 50 }, { percent: 100 }]),
      fleet,
    )
    expect(
      placed
        .filter(({ wave }) => wave === 0)
        .map(({ device }) => device)
        .toSorted(),
    ).toEqual(['cam-8', 'cam-9'])
    expect(placed.filter(({ wave }) => wave === 1).length).toBe(498)
    expect(() => placeDevices('r-1', parse([{ devices: ['cam-nine'] }, { percent: 100 }]), fleet)).toThrow(
      'wave 0 names "cam-nine"',
    )
  })

  test.each([
    [[{ percent: 50 }], 'expected percent 100'],
    [[{ percent: 50 }, { percent: 20 }, { percent: 100 }], 'expected each higher than the one before'],
    [[{ percent: 50, count: 3 }, { percent: 100 }], 'expected one of percent, count and devices'],
    [[{}, { percent: 100 }], 'expected one of percent, count and devices'],
  ])('%j: refused', (waves, words) => {
    expect(() => parse(waves)).toThrow(words)
  })
})

describe('a good version', () => {
  test('comes wave by wave, each after the one before has soaked, to everybody', async () => {
    const world = stage()
    const id = await world.start({ waves: TWO_WAVES })
    world.run(60)
    expect(world.story(id)).toEqual(['running 0', 'soak 0', 'running 1', 'soak 1', 'done'])
    expect(runningOf(world)).toBe('2 2 2 2 2 2')
    expect(new Set(Object.values(world.states(id)))).toEqual(new Set(['committed']))
    const reasons = world.rollouts.store.transitions(id).map(({ reason }) => reason)
    expect(reasons[1]).toBe('1 of 1 devices of wave 0 serve it')
    expect(reasons[2]).toStartWith('nothing went wrong for 10 s')
  })

  test('comes to nobody else while the first wave soaks', async () => {
    const world = stage()
    const id = await world.start({ waves: TWO_WAVES })
    world.run(15)
    expect(world.story(id)).toEqual(['running 0', 'soak 0'])
    expect(runningOf(world).match(/2/g)?.length).toBe(1)
  })

  test('waits for its window, and says so', async () => {
    const world = stage()
    const opens = new Date(world.clock.now() + 3_600_000).toISOString()
    const id = await world.start({ waves: TWO_WAVES, schedule: { not_before: opens } })
    world.run(30)
    expect(runningOf(world)).toBe('1 1 1 1 1 1')
    expect(world.rollouts.waitsFor(world.rollouts.store.get(id))).toBe(`not before ${opens}`)
    world.clock.advance(3_600_000)
    world.run(60)
    expect(world.story(id).at(-1)).toBe('done')
  })

  test('finds devices that run it already, and does not touch them', async () => {
    const world = stage()
    world.enrol('cam-09', { version: '2' })
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 0 }] })
    world.run(40)
    expect(world.states(id)).toMatchObject({ 'cam-09': 'committed' })
    expect(world.sim('cam-09').update).toBeUndefined()
  })
})

describe('devices that are away', () => {
  test('are not waited for, and get it when they come back, also when the rollout is done', async () => {
    const world = stage()
    for (const id of ['cam-01', 'cam-02']) world.go(world.sim(id))
    const id = await world.start({ waves: TWO_WAVES, limits: { offline_seconds: 20 } })
    world.run(90)
    expect(world.story(id).at(-1)).toBe('done')
    expect(world.states(id)).toMatchObject({ 'cam-01': 'deferred', 'cam-02': 'deferred' })
    world.come(world.sim('cam-01'))
    world.run(20)
    expect([world.sim('cam-01').running, world.states(id)['cam-01']]).toEqual(['2', 'committed'])
  })

  test('do not hold up a rollout as its only canaries: others that are there take their place', async () => {
    const world = stage()
    world.go(world.sim('cam-03'))
    const waves = [
      { devices: ['cam-03'], soak_seconds: 5 },
      { percent: 100, soak_seconds: 5 },
    ]
    const id = await world.start({ waves, limits: { offline_seconds: 20 } })
    world.run(80)
    expect(world.story(id)).toEqual(['running 0', 'soak 0', 'running 1', 'soak 1', 'done'])
    expect(world.members(id).filter(({ wave }) => wave === 0).length).toBe(2)
  })

  test('that come into the fleet meanwhile join in the last wave; after it is done they get it too', async () => {
    const world = stage()
    const id = await world.start({ waves: TWO_WAVES })
    world.run(3)
    world.enrol('cam-07')
    world.run(1)
    expect(world.members(id).find(({ device }) => device === 'cam-07')).toMatchObject({
      wave: 1,
      state: 'waiting',
    })
    world.run(80)
    world.enrol('cam-08')
    world.run(20)
    expect(['cam-07', 'cam-08'].map((name) => world.sim(name).running)).toEqual(['2', '2'])
  })

  test('that the selector does not select any more leave before their turn', async () => {
    const world = stage()
    for (const sim of world.sims.values()) world.devices.tag(sim.id, { site: 'berlin' })
    const id = await world.start({ selector: 'tag.site=berlin', waves: TWO_WAVES })
    world.run(1)
    const later = world.members(id).find(({ wave }) => wave === 1)?.device ?? ''
    world.devices.tag(later, { site: 'paris' })
    world.run(60)
    expect([world.states(id)[later], world.sim(later).running]).toEqual(['left', '1'])
    expect(world.story(id).at(-1)).toBe('done')
  })
})

describe('a bad version', () => {
  test.each([
    ['rejected', 'rejected'],
    ['failed', 'failed'],
    ['reverted', 'rolled_back'],
    ['stuck', 'failed'],
  ] as const)(
    'that ends %s on its canary: the rollout stops there, and says how it failed',
    async (fate, state) => {
      const world = stage(Array.from({ length: 6 }, () => fate))
      const id = await world.start({ waves: TWO_WAVES })
      world.run(60)
      expect(world.story(id)).toEqual(['running 0', 'paused'])
      expect(world.rollouts.store.failures(id)).toMatchObject([
        { state, code: `code_${fate}`, count: 1, reason: 'it is so' },
      ])
      expect(Object.values(world.states(id)).filter((one) => one === 'waiting').length).toBe(5)
      const { reason } = world.rollouts.store.transitions(id).at(-1) ?? { reason: '' }
      expect(reason).toBe('0 of 1 devices of wave 0 serve it, 0.0 %, expected at least 100 %')
    },
  )

  test('a person who resumes accepts the wave as it is', async () => {
    const world = stage(['rejected', 'rejected', 'rejected', 'rejected', 'rejected', 'rejected'])
    const id = await world.start({ waves: TWO_WAVES })
    world.run(30)
    for (const sim of world.sims.values()) Object.assign(sim, { fate: 'good' })
    world.act(id, 'resume')
    world.run(80)
    expect(world.story(id)).toEqual([
      'running 0',
      'paused',
      'running 0',
      'soak 0',
      'running 1',
      'soak 1',
      'done',
    ])
  })

  test('device after device falls silent after the switch: they count as failed, and the rollout is taken back', async () => {
    const world = stage(['vanishes', 'vanishes', 'vanishes', 'vanishes', 'vanishes', 'good'])
    const waves = [{ percent: 100, soak_seconds: 60 }]
    const abort = { failure_percent_max: 20, failures_min: 3, on_abort: 'revert' }
    const id = await world.start({ waves, abort, limits: { vanish_seconds: 30 } })
    world.run(60)
    expect(world.rollouts.store.failures(id)).toMatchObject([{ state: 'vanished', count: 5 }])
    expect(world.story(id)).toEqual(['running 0', 'reverting'])
    expect(world.sim('cam-05').running).toBe('1')
    // They come back, and find what they should go back to.
    for (const sim of world.sims.values()) if (!sim.isOnline) world.come(sim)
    world.run(40)
    expect(runningOf(world)).toBe('1 1 1 1 1 1')
    expect(world.story(id).at(-1)).toBe('reverted')
  })

  test('falls silent and nobody says that it is gone: it counts as lost all the same', async () => {
    const world = stage()
    const waves = [{ percent: 100, soak_seconds: 5, success_percent_min: 50 }]
    const id = await world.start({ waves, limits: { vanish_seconds: 30 }, policy: { observe_seconds: 600 } })
    for (let round = 0; round < 20 && world.states(id)['cam-02'] !== 'trial'; round += 1) world.run(1)
    // From now on it says nothing; the registry has it down as online.
    world.silent.add('cam-02')
    world.sims.delete('cam-02')
    world.run(60)
    expect(world.devices.get('cam-02').isOnline).toBe(true)
    expect(world.states(id)['cam-02']).toBe('vanished')
    expect(world.story(id).at(-1)).toBe('done')
  })

  test('falls silent after it has told of its success: it counts as lost, until it is back', async () => {
    const world = stage()
    const waves = [{ percent: 100, soak_seconds: 10_000, success_percent_min: 50 }]
    const id = await world.start({ waves, limits: { vanish_seconds: 60 } })
    world.run(30)
    expect(world.states(id)['cam-02']).toBe('committed')
    const sim = world.sim('cam-02')
    world.silent.add('cam-02')
    world.sims.delete('cam-02')
    world.run(80)
    expect(world.states(id)['cam-02']).toBe('vanished')
    expect(world.rollouts.store.failures(id)).toMatchObject([{ state: 'vanished', count: 1 }])
    // Whoever was there for longer has not gone because of the version.
    world.silent.add('cam-03')
    world.sims.delete('cam-03')
    world.run(80)
    expect(world.states(id)['cam-03']).toBe('committed')
    world.silent.delete('cam-02')
    world.sims.set('cam-02', sim)
    world.run(2)
    expect(world.states(id)['cam-02']).toBe('committed')
    expect(world.rollouts.store.failures(id)).toEqual([])
  })

  test('raises a critical alert after its switch: the device counts as failed though it serves', async () => {
    const world = stage()
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 60, success_percent_min: 100 }] })
    world.run(20)
    const time = world.clock.now()
    const alert = {
      kind: 'alert',
      name: 'memory',
      severity: 'critical',
      value: 1,
      limit: 1,
      message: 'memory is full',
    }
    world.alerts.take('cam-02', { ...alert, state: 'raised', since: time, time })
    // From before the switch: that is not the version's doing.
    world.alerts.take('cam-03', { ...alert, state: 'raised', since: time - 3_600_000, time })
    // Before it too, and after it, by clocks that are wrong.
    const day = 86_400_000
    for (const [device, ahead, since] of [
      ['cam-00', day, time - 3_600_000],
      ['cam-01', -day, time],
    ] as const) {
      world.clockOffsets.set(device, ahead)
      world.alerts.take(device, { ...alert, state: 'raised', since: since + ahead, time: time + ahead })
    }
    world.run(5)
    expect(world.states(id)).toMatchObject({
      ...{ 'cam-00': 'committed', 'cam-01': 'alerted', 'cam-02': 'alerted', 'cam-03': 'committed' },
    })
    expect(world.story(id).at(-1)).toBe('paused')
    expect(world.rollouts.store.failures(id)).toMatchObject([
      { state: 'alerted', count: 2, reason: 'memory is full' },
    ])
  })

  test('one of two is no rate, three of three are', async () => {
    const world = stage(['rejected', 'rejected', 'rejected'], { cams: 3 })
    const id = await world.start({ waves: [{ percent: 100 }], abort: { failures_min: 3 } })
    world.run(30)
    expect(world.story(id)).toEqual(['running 0', 'aborting', 'aborted'])
    const two = stage(['rejected', 'good'], { cams: 2 })
    const other = await two.start({
      waves: [{ percent: 100, success_percent_min: 50, soak_seconds: 1 }],
      abort: { failures_min: 1 },
    })
    two.run(40)
    expect(two.story(other).at(-1)).toBe('done')
  })
})

describe('a person', () => {
  test('pauses: nobody begins, who has begun goes on; resumed, it goes on', async () => {
    const world = stage()
    const id = await world.start({
      waves: [{ percent: 100, soak_seconds: 5 }],
      limits: { starts_per_minute_max: 2 },
    })
    world.run(3)
    world.act(id, 'pause')
    world.run(100)
    expect(runningOf(world).match(/2/g)?.length).toBe(2)
    world.act(id, 'resume')
    world.run(200)
    expect(runningOf(world)).toBe('2 2 2 2 2 2')
  })

  test('aborts: who serves it keeps it, who was on the way stops, nobody begins', async () => {
    const world = stage()
    const id = await world.start({ waves: TWO_WAVES })
    for (let round = 0; round < 60 && world.story(id).at(-1) !== 'running 1'; round += 1) world.run(1)
    world.run(3)
    expect(world.states(id)).toMatchObject({ 'cam-00': expect.stringMatching(/assigned|taken|committed/) })
    world.act(id, 'abort')
    world.run(30)
    expect(world.story(id).slice(-2)).toEqual(['aborting', 'aborted'])
    const canary = world.members(id).find(({ wave }) => wave === 0)?.device ?? ''
    expect([...world.sims.values()].filter(({ running }) => running === '2').map((sim) => sim.id)).toEqual([
      canary,
    ])
    expect(world.wants(canary)).toBe('2')
  })

  test('reverts a rollout that is done: everybody goes back, at the allowed rate', async () => {
    const world = stage()
    const id = await world.start({
      waves: [{ percent: 100, soak_seconds: 1 }],
      limits: { starts_per_minute_max: 6 },
    })
    world.run(80)
    expect(runningOf(world)).toBe('2 2 2 2 2 2')
    world.database
      .prepare(`UPDATE rollout SET plan = json_set(plan, '$.limits.starts_per_minute_max', 2)`)
      .run()
    world.act(id, 'revert')
    world.run(20)
    expect(runningOf(world).match(/1/g)?.length).toBe(2)
    world.run(200)
    expect(runningOf(world)).toBe('1 1 1 1 1 1')
    expect(world.story(id).slice(-2)).toEqual(['reverting', 'reverted'])
  })

  test('asks for what cannot be now: refused, with the state', async () => {
    const world = stage()
    const id = await world.start({})
    expect(() => world.act(id, 'resume')).toThrow(`Cannot resume rollout ${id}: it is running`)
    expect(() => world.act('r-77', 'pause')).toThrow('Cannot find rollout "r-77"')
    expect(world.start({ selector: 'id=nobody' })).rejects.toThrow('selects no device')
    expect(world.start({ selector: 'id=cam-01' })).rejects.toThrow(
      `${id} is running and brings ${MODEL} to "cam-01" too`,
    )
    expect(() => world.assignments.assign('all', [entryOf('3')])).toThrow(`rollout ${id} of it is running`)
  })

  test('who made a rollout may not approve it where a second person is asked for, and nobody starts it before', async () => {
    const world = stage()
    const asked = RolloutRequest.parse({ model: MODEL, version: '2', approval: 'second_person' })
    const { rollout } = await world.rollouts.create(asked, 'first')
    expect(() => world.act(rollout.id, 'start')).toThrow('it needs the approval of another person first')
    expect(() => world.act(rollout.id, 'approve', 'first')).toThrow('whoever made it may not approve it')
    world.act(rollout.id, 'approve', 'second')
    world.act(rollout.id, 'start', 'first')
    expect(world.story(rollout.id)).toEqual(['approved', 'running 0'])
    const by = world.rollouts.store.transitions(rollout.id).map((one) => one.by)
    expect(by).toEqual(['second', 'first'])
  })
})

describe('what a device should run, and why', () => {
  const explain = (world: World, id: string) => world.desired.of(id).explained

  test('an assignment of its own is not changed by any rollout', async () => {
    const world = stage()
    world.assignments.assign('cam-01', [entryOf('1')])
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 1 }] })
    world.run(60)
    expect(runningOf(world)).toBe('2 1 2 2 2 2')
    expect(world.states(id)['cam-01']).toBeUndefined()
    world.assignments.assign('cam-02', [entryOf('1')])
    expect(explain(world, 'cam-02')).toEqual([
      {
        model: MODEL,
        runs: { version: '1', manifest: manifestOf('1') },
        because: "the device's own assignment says so, which nothing else changes",
        passed_over: [{ version: '2', because: `rollout ${id} has brought it, but not the last word` }],
      },
    ])
  })

  test('the last word counts: a rollout over the assignment before it, the next assignment over the rollout', async () => {
    const world = stage()
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 1 }] })
    world.run(60)
    expect(explain(world, 'cam-00')[0]).toMatchObject({
      runs: { version: '2' },
      because: `rollout ${id} has brought it`,
    })
    world.assignments.assign('all', [entryOf('3')])
    expect(explain(world, 'cam-00')[0]).toMatchObject({
      runs: { version: '3' },
      because: 'the assignment for all says so',
    })
    // Saying the same again is no new word.
    const other = await world.start({ version: '4', waves: [{ percent: 100, soak_seconds: 1 }] })
    world.run(60)
    world.assignments.assign('all', [entryOf('3')])
    expect(explain(world, 'cam-00')[0]).toMatchObject({
      runs: { version: '4' },
      because: `rollout ${other} has brought it`,
    })
  })

  test('taken back, a rollout leaves what was said before it, or what ran before, and lets the device go back', async () => {
    const world = new World(2)
    world.enrol('cam-00', { version: '1' })
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 1 }] })
    world.run(40)
    expect(world.sim('cam-00').running).toBe('2')
    world.act(id, 'revert')
    world.run(40)
    expect(world.sim('cam-00').running).toBe('1')
    expect(explain(world, 'cam-00')[0]).toMatchObject({
      runs: { version: '1' },
      because: `it ran this before rollout ${id}, which was taken back`,
    })
    expect(world.desired.of('cam-00').models).toMatchObject([{ version: '1', allow_downgrade: true }])
  })

  test('a registry that has lost words allows no way back on what it still knows', async () => {
    const world = stage()
    const id = await world.start({ waves: [{ percent: 100, soak_seconds: 1 }] })
    world.run(40)
    world.act(id, 'revert')
    world.run(40)
    expect(world.desired.of('cam-00').models).toMatchObject([{ version: '1', allow_downgrade: true }])
    const { rev } = world.sim('cam-00')
    const issued = world.assignments.catchUp('cam-00', rev + 10)
    expect(issued?.rev).toBe(rev + 11)
    expect(world.desired.of('cam-00').models).toMatchObject([{ version: '1', allow_downgrade: false }])
    // What is said from now on is whole again.
    world.assignments.assign('cam-00', [{ ...entryOf('1'), allow_downgrade: true }])
    expect(world.desired.of('cam-00').models).toMatchObject([{ version: '1', allow_downgrade: true }])
  })
})
