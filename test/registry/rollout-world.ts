import { type Database, openDatabase, transact } from '../../src/kit/database.ts'
import type { Random as SystemRandom } from '../../src/kit/random.ts'
import { Alerts } from '../../src/registry/alerts.ts'
import { type AssignedModels, Assignments } from '../../src/registry/assignments.ts'
import { Desired } from '../../src/registry/desired-sources.ts'
import { Devices } from '../../src/registry/devices.ts'
import { LiveFeed } from '../../src/registry/live.ts'
import { RolloutRequest } from '../../src/registry/rollout-plan.ts'
import { Rollouts } from '../../src/registry/rollouts.ts'
import { migrate } from '../../src/registry/schema.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { hashOf } from '../kit/ota-stage.ts'
import { Random } from '../kit/random.ts'

export const MODEL = 'vision/yolo'
export const manifestOf = (version: string) => hashOf(`${MODEL}@${version}`)
export const entryOf = (version: string): AssignedModels[number] => ({
  model: MODEL,
  version,
  manifest: manifestOf(version),
  release: Number(version),
})

/** What a version does on a device. */
export type Fate = 'good' | 'rejected' | 'failed' | 'reverted' | 'stuck' | 'vanishes'

interface Update {
  rev: number
  version: string
  state: string
  code: string
  reason: string
}

export interface SimDevice {
  readonly id: string
  readonly fate: Fate
  isOnline: boolean
  rev: number
  wanted: string | undefined
  running: string | undefined
  update: Update | undefined
  seq: number
}

class PowerCut extends Error {}

const STEPS = [
  'resolve',
  'plan',
  'download',
  'verify',
  'stage',
  'probe',
  'wait',
  'activate',
  'observe',
  'commit',
]
const WORKING = new Set([...STEPS, 'revert'])
const ENDS: Record<Fate, { at: string; state: string }> = {
  good: { at: 'commit', state: 'committed' },
  rejected: { at: 'probe', state: 'rejected' },
  failed: { at: 'download', state: 'failed' },
  reverted: { at: 'observe', state: 'reverted' },
  stuck: { at: 'commit', state: 'stuck' },
  vanishes: { at: 'commit', state: 'committed' },
}

export class World {
  readonly random: Random
  readonly clock = new FakeClock()
  readonly database: Database
  readonly devices: Devices
  readonly alerts: Alerts
  readonly sims = new Map<string, SimDevice>()
  rollouts!: Rollouts
  assignments!: Assignments
  desired!: Desired
  /** That give no sign of life, though nobody has said that they are gone. */
  readonly silent = new Set<string>()
  /** Of devices whose clocks are wrong, in milliseconds ahead. */
  readonly clockOffsets = new Map<string, number>()
  /** Of one signature in so many the power is cut; 0: never. */
  cutsOneIn = 0
  #live = new LiveFeed()

  constructor(seed: number) {
    this.random = new Random(seed)
    this.clock.advance(1_800_000_000_000)
    this.database = openDatabase(':memory:')
    transact(this.database, () => migrate(this.database))
    const random: SystemRandom = { fraction: () => 0.5, bytes: (count) => this.random.bytes(count) }
    this.alerts = new Alerts({
      ...{ database: this.database, clock: this.clock, live: this.#live },
      clockOffsetMs: (device) => this.clockOffsets.get(device) ?? null,
    })
    this.devices = new Devices({
      ...{ database: this.database, clock: this.clock, random, live: this.#live, alerts: this.alerts },
    })
    this.restart()
  }

  /** What was in memory is gone. */
  restart(): void {
    const { database, clock } = this
    this.desired = new Desired(database)
    this.assignments = new Assignments({
      database,
      clock,
      desired: this.desired,
      live: this.#live,
      sign: (payload) => {
        if (this.cutsOneIn > 0 && this.random.below(this.cutsOneIn) === 0) throw new PowerCut('cut')
        return Buffer.from(JSON.stringify(payload))
      },
    })
    this.rollouts = new Rollouts({
      ...{ database, clock, live: this.#live, assignments: this.assignments, desired: this.desired },
      isAlive: ({ id, isOnline }) => isOnline && !this.silent.has(id),
      alertOf: (device, afterMs) => this.alerts.criticalSince(device, afterMs),
      resolve: async ({ version }) => ({ manifest: manifestOf(version), release: Number(version) }),
    })
  }

  enrol(
    id: string,
    of: { fate?: Fate; hardware?: string; version?: string; isOnline?: boolean } = {},
  ): SimDevice {
    // Straight into the table: a credential for each takes its time.
    this.database
      .prepare(
        'INSERT INTO device (id, secret_sha256, hardware, hardware_class, enrolled) VALUES (?, ?, ?, ?, ?)',
      )
      .run(id, new Uint8Array(32), '{}', of.hardware ?? 'x64', this.clock.now())
    const sim: SimDevice = {
      ...{ id, fate: of.fate ?? 'good', isOnline: false, rev: 0, wanted: of.version, seq: 0 },
      running: of.version,
      update: undefined,
    }
    this.sims.set(id, sim)
    if (of.isOnline !== false) this.come(sim)
    return sim
  }

  sim(id: string): SimDevice {
    const sim = this.sims.get(id)
    if (sim === undefined) throw new Error(`no ${id}`)
    return sim
  }

  come(sim: SimDevice): void {
    sim.isOnline = true
    this.report(sim)
  }

  go(sim: SimDevice): void {
    sim.isOnline = false
    sim.seq += 1
    this.devices.keepState(sim.id, { sid: 's', seq: sim.seq, online: false, body: {} })
  }

  report(sim: SimDevice): void {
    sim.seq += 1
    const version = (of: string | undefined) =>
      of === undefined ? null : { version: of, release: Number(of), sha256: manifestOf(of) }
    const hardware = this.database
      .prepare<[string], { hardware_class: string }>('SELECT hardware_class FROM device WHERE id = ?')
      .get(sim.id)
    const body = {
      rev: sim.rev,
      hardware_class: hardware?.hardware_class,
      models: [{ model: MODEL, running: version(sim.running), update: sim.update ?? null }],
    }
    this.devices.keepState(sim.id, { sid: 's', seq: sim.seq, online: true, body })
  }

  /** The device looks at what it should run, and gets on by one step. */
  live(sim: SimDevice): void {
    if (!sim.isOnline) return
    const issued = this.survive(() => this.assignments.catchUp(sim.id, sim.rev))
    if (issued !== undefined && issued.rev > sim.rev) {
      const { models } = JSON.parse(Buffer.from(issued.envelope).toString()) as { models: AssignedModels }
      sim.rev = issued.rev
      sim.wanted = models.find(({ model }) => model === MODEL)?.version
      this.#supersede(sim)
    }
    this.#step(sim)
    if (sim.isOnline) this.report(sim)
  }

  #supersede(sim: SimDevice): void {
    const { update } = sim
    if (update === undefined || !WORKING.has(update.state)) return
    if (update.version === sim.wanted) update.rev = sim.rev
    else if (STEPS.indexOf(update.state) < STEPS.indexOf('activate')) {
      update.state = 'rejected'
      update.code = 'superseded'
    }
  }

  #step(sim: SimDevice): void {
    const { update } = sim
    if (update === undefined || !WORKING.has(update.state)) {
      this.#begin(sim)
      return
    }
    const fate = update.version === '2' ? sim.fate : 'good'
    const end = ENDS[fate]
    if (update.state === end.at) {
      update.state = end.state
      update.code = end.state === 'committed' ? '' : `code_${end.state}`
      update.reason = end.state === 'committed' ? '' : 'it is so'
      if (end.state === 'reverted') sim.running = '1'
      return
    }
    update.state = STEPS[STEPS.indexOf(update.state) + 1] ?? 'commit'
    if (update.state === 'activate') sim.running = update.version
    if (fate === 'vanishes' && update.state === 'observe') {
      // It tells that it serves the version, and then nothing any more.
      this.report(sim)
      this.go(sim)
    }
  }

  #begin(sim: SimDevice): void {
    const { wanted, running, update, rev } = sim
    if (wanted === undefined || wanted === running) return
    const isAnswer = update?.version === wanted && update.rev === rev && update.code !== 'superseded'
    if (!isAnswer) sim.update = { rev, version: wanted, state: 'resolve', code: '', reason: '' }
  }

  /** Of the registry, which may be cut off and begin anew. */
  survive<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error
      this.restart()
      return undefined
    }
  }

  tick(): void {
    this.survive(() => this.rollouts.tick())
  }

  async start(request: object): Promise<string> {
    const asked = RolloutRequest.parse({ model: MODEL, version: '2', ...request })
    const { rollout } = await this.rollouts.create(asked, 'first')
    this.act(rollout.id, 'start')
    return rollout.id
  }

  act(id: string, action: Parameters<Rollouts['act']>[1]['action'], by = 'first'): void {
    this.survive(() => this.rollouts.act(id, { action, by, reason: '' }))
  }

  /** Everybody lives, and the registry ticks, so many times. */
  run(rounds: number, ms = 1_000): void {
    for (let round = 0; round < rounds; round += 1) {
      this.clock.advance(ms)
      for (const sim of this.sims.values()) this.live(sim)
      this.tick()
    }
  }

  members(id: string): {
    device: string
    wave: number
    state: string
    gives: string
    given: number | null
    step: string
    code: string
  }[] {
    return this.database
      .prepare<[string], ReturnType<World['members']>[number]>(
        'SELECT * FROM rollout_device WHERE rollout = ? ORDER BY device',
      )
      .all(id)
  }

  states(id: string): Record<string, string> {
    return Object.fromEntries(this.members(id).map(({ device, state }) => [device, state]))
  }

  story(id: string): string[] {
    return this.rollouts.store
      .transitions(id)
      .map(({ to, wave }) => (to === 'running' || to === 'soak' ? `${to} ${wave}` : to))
  }

  /** What the registry wants of a device now. */
  wants(id: string): string | undefined {
    return this.desired.of(id).models?.find(({ model }) => model === MODEL)?.version
  }
}
