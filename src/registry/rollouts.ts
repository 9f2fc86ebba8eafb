import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import { closedBecause } from '../kit/opening.ts'
import type { AssignedModels, Assignments, Issued } from './assignments.ts'
import type { Desired } from './desired-sources.ts'
import type { LiveFeed } from './live.ts'
import { type Action, ASKED, type RolloutState } from './rollout.ts'
import { selectDevices } from './rollout-members.ts'
import {
  type Candidate,
  type Placed,
  placeDevices,
  type RolloutPlan,
  type RolloutRequest,
} from './rollout-plan.ts'
import { type Rollout, RolloutStore } from './rollout-store.ts'
import { RolloutTick } from './rollout-tick.ts'
import { parseSelector } from './selector.ts'
import { sayWord } from './word.ts'

type Entry = AssignedModels[number]

export interface RolloutParts {
  readonly database: Database
  readonly clock: Clock
  readonly assignments: Assignments
  readonly desired: Desired
  readonly live: LiveFeed
  readonly isAlive: (device: { id: string; isOnline: boolean; seen: number }) => boolean
  readonly alertOf: (device: string, afterMs: number) => string | null
  /** Looks a version up, and throws where no device would take it. */
  readonly resolve: (wanted: {
    model: string
    version: string
  }) => Promise<{ manifest: string; release: number }>
}

/** What would come when, without anything being done. */
export interface Planned {
  readonly devices: number
  readonly waves: readonly {
    readonly devices: number
    readonly hardware: Readonly<Record<string, number>>
    /** The first of them. */
    readonly first: readonly string[]
  }[]
  readonly left_out: readonly { readonly device: string; readonly reason: string }[]
}

interface Chosen {
  readonly candidates: readonly Candidate[]
  readonly leftOut: Planned['left_out']
}

const DEVICES_MAX = 1_000_000
const FIRST = 20
const LEFT_OUT_MAX = 100

/** Rollouts, as people make, look at and steer them. */
export class Rollouts {
  readonly store: RolloutStore
  readonly #parts: RolloutParts
  readonly #tick: RolloutTick
  /** Every rollout then needs the approval of somebody else than who made it. */
  needsSecondPerson = false

  constructor(parts: RolloutParts) {
    this.#parts = parts
    this.store = new RolloutStore(parts.database)
    this.#tick = new RolloutTick(parts)
  }

  async plan(request: RolloutRequest): Promise<Planned> {
    const plan = await this.#complete(request)
    const id = this.store.nextId()
    const { candidates, leftOut } = this.#choose(plan)
    return describePlan(plan, { placed: placeDevices(id, plan.waves, candidates), candidates, leftOut })
  }

  async create(request: RolloutRequest, by: string): Promise<{ rollout: Rollout; planned: Planned }> {
    const plan = await this.#complete(request)
    const { database, clock, live } = this.#parts
    const { candidates, leftOut } = this.#choose(plan)
    const made = transact(database, () => {
      const rollout = this.store.create({ plan, by, now: clock.now() })
      return { rollout, placed: placeDevices(rollout.id, plan.waves, candidates) }
    })
    live.publish({ kind: 'rollout', id: made.rollout.id })
    return {
      rollout: made.rollout,
      planned: describePlan(plan, { placed: made.placed, candidates, leftOut }),
    }
  }

  /** What a person asks for; gives what was issued because of it. */
  act(id: string, asked: { action: Action; by: string; reason: string }): Issued[] {
    const { database, live } = this.#parts
    transact(database, () => this.#act(this.store.get(id), asked))
    live.publish({ kind: 'rollout', id })
    return this.tick()
  }

  tick(): Issued[] {
    return this.#tick.run()
  }

  waitsFor(rollout: Rollout): string {
    return this.#tick.decide(rollout, this.#parts.clock.now()).waitsFor
  }

  async #complete(request: RolloutRequest): Promise<RolloutPlan> {
    parseSelector(request.selector)
    if (request.schedule?.window !== undefined) checkWindow(request.schedule.window)
    const { model, version, previous, policy, schedule, priority, allow_downgrade } = request
    const found = await this.#parts.resolve({ model, version })
    const terms = {
      ...(policy !== undefined && { policy }),
      ...(schedule !== undefined && { schedule }),
      ...(priority !== undefined && { priority }),
    }
    const entry = { model, version, ...found, ...terms, allow_downgrade } as Entry
    const back =
      previous === undefined
        ? null
        : ({
            model,
            version: previous,
            ...(await this.#parts.resolve({ model, version: previous })),
          } as Entry)
    this.#parts.assignments.checkSignable([entry])
    const approval = this.needsSecondPerson ? 'second_person' : request.approval
    return { ...request, approval, entry, back }
  }

  /** Devices that are meant, but for those that something else decides about. */
  #choose({ selector, model }: RolloutPlan): Chosen {
    const { database } = this.#parts
    const meant = selectDevices(database, parseSelector(selector), {
      onlyChanged: false,
      limit: DEVICES_MAX,
    }).filter(({ isMeant }) => isMeant)
    const pinned = new Set(this.store.pinned(model))
    const leftOut: { device: string; reason: string }[] = []
    const candidates = meant.filter(({ id }) => {
      if (!pinned.has(id)) return true
      if (leftOut.length < LEFT_OUT_MAX)
        leftOut.push({ device: id, reason: 'an assignment of its own says what it runs of this model' })
      return false
    })
    return { candidates, leftOut }
  }

  #act(rollout: Rollout, { action, by, reason }: { action: Action; by: string; reason: string }): void {
    const to = ASKED[rollout.state][action]
    if (to === undefined) throw refuse(rollout, action, `it is ${rollout.state}`)
    if (action === 'approve') this.#approve(rollout, by)
    if (action === 'start') this.#start(rollout)
    if (action === 'resume') this.store.accept(rollout.id, rollout.wave)
    const state: RolloutState = to === 'back' ? (rollout.pausedIn ?? 'running') : to
    this.#tick.enter(rollout, { state, wave: rollout.wave, by, reason: reason === '' ? action : reason })
  }

  #approve(rollout: Rollout, by: string): void {
    if (rollout.plan.approval === 'second_person' && rollout.createdBy === by)
      throw refuse(
        rollout,
        'approve',
        'whoever made it may not approve it; it takes the key of another person',
      )
    this.store.setApprovedBy(rollout.id, by)
  }

  #start(rollout: Rollout): void {
    const { id, plan, model, state } = rollout
    const { database, clock } = this.#parts
    if (state === 'draft' && plan.approval === 'second_person')
      throw refuse(rollout, 'start', 'it needs the approval of another person first')
    const { candidates } = this.#choose(plan)
    if (candidates.length === 0)
      throw refuse(rollout, 'start', `"${plan.selector}" selects no device that it could go to`)
    const taken = this.store.servedNameTaken(model)
    if (taken !== undefined)
      throw refuse(rollout, 'start', `${taken} is assigned, and devices serve both under one name`)
    this.store.add(id, placeDevices(id, plan.waves, candidates))
    for (const other of this.store.liveOf(model, id)) {
      const shared = this.store.sharedDevice(id, other.id)
      if (shared !== undefined)
        throw refuse(
          rollout,
          'start',
          `${other.id} is ${other.state} and brings ${model} to "${shared}" too; end it first`,
        )
    }
    this.store.say(id, sayWord(database, clock.now()))
  }
}

function checkWindow(window: string): void {
  try {
    closedBecause({ notBeforeMs: 0, window, windowSeconds: 1 }, 0)
  } catch (cause) {
    throw new EdgeError('input_invalid', cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function refuse({ id }: Rollout, action: Action, why: string): EdgeError {
  return new EdgeError('conflict', `Cannot ${action} rollout ${id}: ${why}`)
}

function describePlan(
  { waves }: RolloutPlan,
  { placed, candidates, leftOut }: { placed: readonly Placed[] } & Chosen,
): Planned {
  const hardware = new Map(candidates.map(({ id, hardware: name }) => [id, name]))
  return {
    devices: placed.length,
    waves: waves.map((_, at) => {
      const devices = placed.filter(({ wave }) => wave === at).map(({ device }) => device)
      const classes: Record<string, number> = {}
      for (const device of devices) {
        const name = hardware.get(device) ?? 'unknown'
        classes[name] = (classes[name] ?? 0) + 1
      }
      return { devices: devices.length, hardware: classes, first: devices.slice(0, FIRST) }
    }),
    left_out: leftOut,
  }
}
