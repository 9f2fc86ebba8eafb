import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { closedBecause } from '../kit/opening.ts'
import type { Assignments, Issued } from './assignments.ts'
import type { Desired } from './desired-sources.ts'
import type { LiveFeed } from './live.ts'
import { type Decision, decide, type RolloutState, type Tally } from './rollout.ts'
import { type Fact, judgeMember, type Terms } from './rollout-member.ts'
import { RolloutMembers, selectDevices } from './rollout-members.ts'
import { bucketOf, type RolloutPlan } from './rollout-plan.ts'
import { RolloutPrune } from './rollout-prune.ts'
import { type Rollout, RolloutStore } from './rollout-store.ts'
import { parseSelector } from './selector.ts'
import { sayWord } from './word.ts'

export interface TickParts {
  readonly database: Database
  readonly clock: Clock
  readonly assignments: Assignments
  readonly desired: Desired
  readonly live: LiveFeed
  /** Whether a device that has not said goodbye gives signs of life: a broker may have had no chance to say that it is gone. */
  readonly isAlive: (device: { id: string; isOnline: boolean; seen: number }) => boolean
  /** What a critical alert of the device says that was raised after that and holds; null where there is none. */
  readonly alertOf: (device: string, afterMs: number) => string | null
}

/** Signed in one tick at most, and looked at because something of them has changed. */
const SIGNED_MAX = 200
const CHANGED_MAX = 1_000
/** Between two looks for devices that are none any more, or have fallen silent. */
const RUNS_TO_GONE = 10
/** Between two looks for a rollout that nobody needs any more. */
const RUNS_TO_PRUNE = 60
/** So much longer than it takes to be sure: a device may say seldom that it is there. */
const SILENCE_SLACK_MS = 900_000
/** What a trial takes at least, where the rollout does not say, and how often over that it may. */
const OBSERVE_SECONDS = 900
const PATIENCE = 4
const DEFER_SECONDS = 7 * 24 * 3600

/** States in which devices that appear are taken in. */
const TAKES_IN: readonly RolloutState[] = ['running', 'soak', 'paused', 'done']
const GIVES: readonly RolloutState[] = ['running', 'soak', 'done']
const HOLDS_BACK: readonly RolloutState[] = ['aborting', 'aborted']

/**
 * Brings each rollout on by what is so now. Everything that a tick decides is one transaction, what it signs included: a
 * registry that was killed at any moment goes on from the last whole tick, and a tick that is repeated changes nothing.
 */
export class RolloutTick {
  readonly #parts: TickParts
  readonly #store: RolloutStore
  readonly #members: RolloutMembers
  readonly #prune: RolloutPrune
  #runs = 0

  constructor(parts: TickParts) {
    this.#parts = parts
    this.#store = new RolloutStore(parts.database)
    this.#members = new RolloutMembers(parts.database)
    this.#prune = new RolloutPrune(parts.database)
  }

  /** What was issued because of it. */
  run(): Issued[] {
    const { database, live, clock } = this.#parts
    this.#runs += 1
    if (this.#store.open().length === 0) return []
    const touched = new Set<string>()
    const issued = transact(database, () => {
      if (this.#runs % RUNS_TO_PRUNE === 0) this.#prune.run(clock.now())
      this.#takeIn(touched)
      const all = this.#store.open().flatMap((rollout) => this.#step(rollout, touched))
      database
        .prepare(
          'UPDATE device SET is_changed = 0 WHERE id IN (SELECT id FROM device INDEXED BY device_changed WHERE is_changed = 1 ORDER BY id LIMIT ?)',
        )
        .run(CHANGED_MAX)
      return all
    })
    for (const id of touched) live.publish({ kind: 'rollout', id })
    return issued
  }

  /** Devices that have come to be selected join in the last wave; those that are no longer, and had not begun, leave. */
  #takeIn(touched: Set<string>): void {
    for (const rollout of this.#store.open()) {
      if (!TAKES_IN.includes(rollout.state)) continue
      const { id, plan } = rollout
      const changed = selectDevices(this.#parts.database, parseSelector(plan.selector), {
        onlyChanged: true,
        limit: CHANGED_MAX,
      })
      const joining = changed
        .filter(({ isMeant }) => isMeant)
        .filter((device) => this.#mayJoin(device.id, rollout))
      const wave = plan.waves.length - 1
      const placed = joining.map((device) => ({ device: device.id, wave, bucket: bucketOf(id, device.id) }))
      const [left, joined] = [
        this.#store.leave(
          id,
          changed.filter(({ isMeant }) => !isMeant),
        ),
        this.#store.add(id, placed),
      ]
      if (left + joined > 0) touched.add(id)
    }
  }

  #mayJoin(device: string, { id, model, word, state }: Rollout): boolean {
    const { database } = this.#parts
    const later = database.prepare(
      `SELECT 1 FROM assignment_word WHERE model = @model AND (target = @device OR (target = 'all' AND @isDone AND word > @word))`,
    )
    if (later.get({ model, device, word, isDone: state === 'done' ? 1 : 0 }) !== undefined) return false
    return this.#store.liveOf(model, id).every((other) => !this.#store.holds(other.id, device))
  }

  #step(rollout: Rollout, touched: Set<string>): Issued[] {
    const now = this.#parts.clock.now()
    if (this.#judge(rollout, now)) touched.add(rollout.id)
    if (HOLDS_BACK.includes(rollout.state)) this.#members.takeBack(rollout.id)
    const decision = this.decide(rollout, now)
    const { next } = decision
    if (next !== undefined) {
      touched.add(rollout.id)
      this.enter(rollout, { ...next, by: null })
    }
    const issued = next === undefined ? this.#begin(rollout, decision) : []
    const signed = this.#members
      .unsigned(rollout.id, SIGNED_MAX)
      .flatMap((device) => this.#sign(rollout, device))
    if (issued.length + signed.length > 0) touched.add(rollout.id)
    return [...issued, ...signed]
  }

  decide(rollout: Rollout, now: number): Decision {
    const { schedule } = rollout.plan
    const closed =
      schedule === undefined
        ? undefined
        : closedBecause(
            {
              notBeforeMs: schedule.not_before === undefined ? 0 : Date.parse(schedule.not_before),
              window: schedule.window,
              windowSeconds: schedule.window_seconds ?? 3600,
            },
            now,
          )
    const tally: Tally = { ...this.#store.tally(rollout, now), closedBecause: closed }
    return decide(rollout, rollout.plan, tally, now)
  }

  /** The state, and what follows from it for the devices; within a transaction. */
  enter(
    rollout: Rollout,
    to: { state: RolloutState; wave: number; by: string | null; reason: string },
  ): void {
    const { database, clock } = this.#parts
    this.#store.move(rollout.id, { ...to, now: clock.now() })
    if (to.state !== 'aborting' && to.state !== 'reverting' && to.state !== 'aborted') return
    if (rollout.state === 'aborting' && to.state === 'aborted') return
    if (rollout.word === null) return
    this.#store.say(rollout.id, sayWord(database, clock.now()))
    this.#members.withdraw(rollout.id)
  }

  #judge(rollout: Rollout, now: number): boolean {
    const terms = termsOf(rollout.plan)
    let hasChanged = false
    const since = { activated: now - 2 * terms.vanishMs - SILENCE_SLACK_MS, silent: now - terms.vanishMs }
    const watched = this.#members.watched(rollout, since)
    if (this.#runs % RUNS_TO_GONE === 0) watched.push(...this.#members.gone(rollout, since))
    for (const { member, fact } of watched) {
      const alert = member.activated === null ? null : this.#parts.alertOf(member.device, member.activated)
      const { isOnline, seen } = fact
      const known: Fact = {
        ...fact,
        alert,
        isOnline: this.#parts.isAlive({ id: member.device, isOnline, seen }),
      }
      const change = judgeMember(member, known, terms, now)
      if (change === undefined) continue
      this.#members.change(rollout.id, member.device, change)
      hasChanged = true
    }
    return hasChanged
  }

  #begin(rollout: Rollout, { starts, refill }: Decision): Issued[] {
    if (refill !== undefined) this.#members.refill(rollout, refill)
    if (starts === 0) return []
    if (rollout.state === 'reverting')
      return this.#members.revertible(rollout.id, starts).flatMap((device) => this.#revert(rollout, device))
    if (!GIVES.includes(rollout.state)) return []
    return this.#members.startable(rollout, starts).flatMap((device) => {
      const ran = this.#members.ran(device, rollout)
      this.#members.give(rollout.id, device, {
        state: 'assigned',
        gives: 'version',
        now: this.#parts.clock.now(),
        ran,
      })
      return this.#sign(rollout, device)
    })
  }

  #revert(rollout: Rollout, device: string): Issued[] {
    const now = this.#parts.clock.now()
    this.#members.give(rollout.id, device, { state: 'reverting', gives: 'back', now })
    const wanted = this.#parts.desired.of(device).models ?? []
    if (wanted.every(({ model }) => model !== rollout.model)) {
      const reason = 'nothing else is wanted of it: it keeps what it runs until something is assigned'
      this.#members.change(rollout.id, device, { state: 'reverted', code: 'nothing_before', reason })
    }
    return this.#sign(rollout, device)
  }

  #sign(rollout: Rollout, device: string): Issued[] {
    const issued = this.#parts.assignments.current(device)
    this.#members.setRev(rollout.id, device, issued?.rev ?? 0)
    return issued === undefined ? [] : [issued]
  }
}

function termsOf({ entry, limits, policy, schedule }: RolloutPlan): Terms {
  const observe = policy?.['observe_seconds']
  return {
    version: entry.version,
    manifest: entry.manifest,
    offlineMs: limits.offline_seconds * 1000,
    deviceMs: limits.device_seconds_max * 1000,
    vanishMs: limits.vanish_seconds * 1000,
    deferMs: (schedule?.defer_seconds_max ?? DEFER_SECONDS) * 1000,
    trialMs: (typeof observe === 'number' ? observe : OBSERVE_SECONDS) * PATIENCE * 1000,
  }
}
