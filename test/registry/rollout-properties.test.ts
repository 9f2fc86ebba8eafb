/**
 * Rollouts over fleets that do as they please: devices come, go, fail, fall silent, join; people pause, resume, abort,
 * revert; the registry is cut off in the middle of a tick. What must never be never is, and all of it comes to an end.
 */
import { expect, test } from 'bun:test'
import { RolloutPrune } from '../../src/registry/rollout-prune.ts'
import { SEED } from '../kit/seed.ts'
import { entryOf, type Fate, World } from './rollout-world.ts'

const RUNS = 16
const ROUNDS = 90
const FATES: readonly Fate[] = [
  'good',
  'good',
  'good',
  'good',
  'good',
  'rejected',
  'failed',
  'reverted',
  'stuck',
  'vanishes',
]
const ENDED = ['done', 'aborted', 'reverted']
const DOWNLOADING = new Set(['', 'resolve', 'plan', 'download', 'verify'])

type Ask = 'pause' | 'resume' | 'abort' | 'revert'

interface Story {
  /** What people ask for, now and then. */
  readonly asks: readonly Ask[]
  readonly world: World
  readonly id: string
  readonly startsMax: number
  readonly downloadsMax: number
  readonly soaks: readonly number[]
  readonly successMin: readonly number[]
  seen: number
}

async function begin(seed: number): Promise<Story> {
  const world = new World(seed)
  const { random } = world
  if (random.chance(0.8)) world.assignments.assign('all', [entryOf('1')])
  const isBad = random.chance(0.3)
  const count = random.between(1, 14)
  for (let at = 0; at < count; at += 1) enrol(world, `cam-${at}`, isBad)
  world.run(2)
  const [startsMax, downloadsMax] = [random.between(1, 10), random.between(1, 5)]
  const percents = [...new Set([random.between(1, 40), random.between(41, 99)])].slice(
    0,
    random.between(0, 2),
  )
  const waves = [...percents, 100].map((percent) => ({
    percent,
    soak_seconds: random.between(0, 30),
    success_percent_min: random.pick([0, 50, 80, 100]),
  }))
  const id = await world.start({
    waves,
    abort: {
      failures_min: random.between(1, 4),
      failure_percent_max: random.pick([0, 10, 30]),
      on_abort: random.pick(['stop', 'revert']),
    },
    limits: {
      starts_per_minute_max: startsMax,
      downloads_max: downloadsMax,
      offline_seconds: random.between(5, 60),
      vanish_seconds: random.between(5, 60),
      device_seconds_max: random.between(30, 300),
    },
    policy: { observe_seconds: 1 },
  })
  return {
    ...{ world, id, startsMax, downloadsMax, seen: 0 },
    asks: random.pick<readonly Ask[]>([
      [],
      [],
      ['pause', 'resume'],
      ['pause', 'resume', 'abort'],
      ['revert'],
    ]),
    soaks: waves.map(({ soak_seconds }) => soak_seconds),
    successMin: waves.map(({ success_percent_min }) => success_percent_min),
  }
}

function enrol(world: World, id: string, isBad: boolean): void {
  const { random } = world
  const fate = isBad ? random.pick(FATES.slice(4)) : random.pick(FATES)
  world.enrol(id, {
    fate,
    hardware: random.pick(['x64', 'orin', 'thor']),
    ...(random.chance(0.9) && { version: '1' }),
    isOnline: random.chance(0.8),
  })
}

/** One of the things that happen to a fleet, or none. */
function disturb({ world, id, asks }: Story): void {
  const { random } = world
  const sims = [...world.sims.values()]
  const sim = random.pick(sims)
  const what = random.below(40)
  if (what < 6 && sim.isOnline) world.go(sim)
  else if (what < 14 && !sim.isOnline && sim.fate !== 'vanishes') world.come(sim)
  else if (what === 14 && sims.length < 25) enrol(world, nextName(world), false)
  else if (what === 15) world.survive(() => world.assignments.assign(sim.id, [entryOf('1')]))
  else if (what === 16) world.survive(() => world.assignments.withdraw(sim.id))
  else if (what === 17) world.restart()
  else if (what === 18) depart(world, sim.id)
  else if (what === 19 && asks.length > 0) ask(world, id, random.pick(asks))
}

/** Nobody ever had it. */
function nextName(world: World): string {
  return `new-${world.clock.now()}`
}

function depart(world: World, id: string): void {
  world.sims.delete(id)
  for (const table of ['issued', 'event', 'device_model'])
    world.database.prepare(`DELETE FROM ${table} WHERE device = ?`).run(id)
  world.database.prepare('DELETE FROM device WHERE id = ?').run(id)
  if (world.sims.size === 0) world.enrol(nextName(world), { version: '1' })
}

/** What cannot be now is refused, and that is all. */
function ask(world: World, id: string, action: Ask): void {
  try {
    world.act(id, action)
  } catch (error) {
    expect(error).toMatchObject({ code: 'conflict' })
  }
}

function check(story: Story): void {
  const { world, id } = story
  const members = world.members(id)
  const rollout = world.rollouts.store.get(id)
  const now = world.clock.now()
  const recent = members.filter((one) => one.given !== null && one.given > now - 60_000)
  expect(recent.length).toBeLessThanOrEqual(story.startsMax)
  const begunNow = recent.some((one) => one.given === now && one.state === 'assigned')
  const downloads = members.filter(
    ({ state, step }) => ['assigned', 'taken'].includes(state) && DOWNLOADING.has(step),
  )
  // Who comes back goes on with what it had begun; meanwhile nobody else begins.
  if (begunNow) expect(downloads.length).toBeLessThanOrEqual(story.downloadsMax)
  for (const { gives, wave } of members)
    if (gives === 'version') expect(wave).toBeLessThanOrEqual(rollout.wave)
  const given = new Set(members.filter(({ gives }) => gives !== 'nothing').map(({ device }) => device))
  for (const sim of world.sims.values()) if (!given.has(sim.id)) expect(world.wants(sim.id)).not.toBe('2')
  checkTransitions(story, members)
}

function checkTransitions(story: Story, members: ReturnType<World['members']>): void {
  const { world, id } = story
  const transitions = world.rollouts.store.transitions(id)
  for (const [at, { from, to, wave, by, at: when }] of transitions.entries()) {
    if (at < story.seen) continue
    const before = transitions[at - 1]
    // What a person has asked for is that person's affair.
    if (by !== null || before === undefined) continue
    if (to === 'running' || to === 'done') {
      const soaked = to === 'running' ? wave - 1 : wave
      expect([from, before.to, before.wave]).toEqual(['soak', 'soak', soaked])
      expect(when - before.at).toBeGreaterThanOrEqual((story.soaks[soaked] ?? 0) * 1000)
      expectPassed(story, members, soaked)
    }
    if (to === 'soak') expectPassed(story, members, wave)
  }
  story.seen = transitions.length
}

/** The wave's condition, counted anew from its devices. */
function expectPassed(story: Story, members: ReturnType<World['members']>, wave: number): void {
  const { world, id, successMin } = story
  const of = members.filter((member) => member.wave === wave)
  const count = (...states: string[]) => of.filter(({ state }) => states.includes(state)).length
  expect(count('waiting', 'assigned')).toBe(0)
  const failed = count('failed', 'rejected', 'timed_out', 'rolled_back', 'vanished', 'alerted')
  const taken = failed + count('taken', 'trial', 'committed')
  const isAccepted = world.rollouts.store.get(id).acceptedWave >= wave
  if (taken > 0 && !isAccepted)
    expect((100 * count('committed')) / taken).toBeGreaterThanOrEqual(successMin[wave] ?? 0)
}

/** Nothing happens any more but that everybody is there, and a person lets go on what waits for one. */
function settle({ world, id }: Story): void {
  world.cutsOneIn = 0
  for (const sim of world.sims.values()) {
    if (!sim.isOnline) world.come(sim)
    if (sim.fate === 'vanishes') Object.assign(sim, { fate: 'good' })
  }
  for (let round = 0; round < 60; round += 1) {
    world.run(12, 3_000)
    for (const sim of world.sims.values()) if (!sim.isOnline) world.come(sim)
    const { state } = world.rollouts.store.get(id)
    if (state === 'paused') world.act(id, 'resume')
    const isQuiet = world
      .members(id)
      .every((one) => !['waiting', 'assigned', 'taken', 'trial', 'reverting'].includes(one.state))
    if (ENDED.includes(state) && isQuiet) break
  }
  world.run(30, 3_000)
}

function checkEnd({ world, id }: Story): void {
  const { state } = world.rollouts.store.get(id)
  expect(ENDED).toContain(state)
  const members = new Map(world.members(id).map((member) => [member.device, member]))
  for (const sim of world.sims.values()) {
    const member = members.get(sim.id)
    const wanted = world.wants(sim.id)
    if (state === 'done' && member !== undefined)
      expect(member.state).toMatch(/^(committed|failed|rejected|timed_out|rolled_back|alerted|left)$/)
    if (state === 'reverted') expect(wanted).not.toBe('2')
    // Who should be somewhere that a device can be is there, whatever happened on the way.
    if (wanted === '1') expect([sim.id, sim.running]).toEqual([sim.id, '1'])
    if (state === 'aborted' && member?.gives === 'version') expect(member.state).toBe('committed')
  }
}

test(`never more at once, never a wave too early, back wherever it must be, and an end: ${RUNS} fleets`, async () => {
  const ends: Record<string, number> = {}
  for (let run = 0; run < RUNS; run += 1) {
    const seed = SEED + run
    try {
      const story = await begin(seed)
      story.world.cutsOneIn = story.world.random.pick([0, 4, 15])
      for (let round = 0; round < ROUNDS; round += 1) {
        disturb(story)
        story.world.run(1, story.world.random.pick([500, 1_000, 3_000, 10_000]))
        check(story)
      }
      settle(story)
      checkEnd(story)
      const { state } = story.world.rollouts.store.get(story.id)
      ends[state] = (ends[state] ?? 0) + 1
      story.world.database.close()
    } catch (error) {
      throw new Error(`With LIMPET_SEED=${seed}, its first fleet: ${String(error)}`, { cause: error })
    }
  }
  // If all of them ended the same way, this would show less than it says.
  console.log(`ended: ${JSON.stringify(ends)}`)
}, 240_000)

test('who falls silent soon after its switch counts as vanished, whoever stays for longer does not', async () => {
  for (let run = 0; run < 3; run += 1) {
    const world = new World(SEED + run)
    const { random, clock } = world
    const vanishMs = 1_000 * random.between(100, 300)
    for (let at = 0; at < 5; at += 1) world.enrol(`cam-${at}`, { version: '1' })
    const abort = { failures_min: 8, failure_percent_max: 100 }
    const limits = { vanish_seconds: vanishMs / 1000, starts_per_minute_max: 100, downloads_max: 100 }
    const waves = [{ percent: 100, soak_seconds: 80_000, success_percent_min: 1 }]
    const id = await world.start({ waves, abort, limits })
    world.run(20)
    const switched = clock.now()
    const silentAfterMs = new Map([...world.sims.keys()].map((cam) => [cam, random.between(0, 2 * vanishMs)]))
    const lastSigns = new Map<string, number>()
    for (let round = 0; round < 200; round += 1) {
      for (const [cam, afterMs] of silentAfterMs) {
        if (clock.now() - switched < afterMs || world.silent.has(cam)) continue
        world.silent.add(cam)
        world.sims.delete(cam)
        lastSigns.set(cam, clock.now())
      }
      world.run(1, 6_000)
    }
    const activated = world.database
      .prepare<[], { device: string; activated: number }>('SELECT device, activated FROM rollout_device')
      .all()
    const expected = activated.map(({ device, activated: ms }) => [
      device,
      (lastSigns.get(device) ?? 0) - ms < vanishMs ? 'vanished' : 'committed',
    ])
    expect([SEED + run, world.states(id)]).toEqual([SEED + run, Object.fromEntries(expected)])
    world.database.close()
  }
}, 60_000)

test('an old rollout goes once it says nothing of any device any more, and never changes what one should run', async () => {
  let pruned = 0
  for (let run = 0; run < 4; run += 1) {
    const world = new World(SEED + run)
    const { random, database, clock } = world
    const prune = new RolloutPrune(database, { newest: 1, days: 30 })
    const cams = Array.from({ length: 4 }, (_, at) => `cam-${at}`)
    for (const cam of cams) world.enrol(cam, { version: '1' })
    if (random.chance(0.5)) world.assignments.assign('all', [entryOf('1')])
    const wants = () => cams.map((cam) => [cam, world.desired.of(cam).models])
    for (let release = 2; release < 7; release += 1) {
      const selector = random.chance(0.5) ? 'all' : `id=${cams.filter(() => random.chance(0.6)).join('|')}`
      const id = await world
        .start({ version: String(release), selector, waves: [{ percent: 100, soak_seconds: 1 }] })
        .catch(() => undefined)
      world.run(20)
      const end = random.pick(['none', 'none', 'none', 'abort', 'revert'] as const)
      if (id !== undefined && end !== 'none') ask(world, id, end)
      world.run(14)
      clock.advance(random.pick([1, 40]) * 86_400_000)
      const before = wants()
      for (let look = 0; look < 12; look += 1) if (prune.run(clock.now()) !== undefined) pruned += 1
      expect([SEED + run, wants()]).toEqual([SEED + run, before])
    }
    const ids = world.rollouts.store.list({ after: undefined, count: 100 }).map(({ id }) => id)
    expect(world.rollouts.store.nextId()).toBe(`r-${Number(ids[0]?.slice(2)) + 1}`)
    database.close()
  }
  // If nothing ever went, this would show nothing.
  expect(pruned).toBeGreaterThan(2)
}, 60_000)
