import type { Database } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import { type Counts, LIVE, type RolloutState, type Tally } from './rollout.ts'
import { MEMBER_STATES, type MemberState } from './rollout-member.ts'
import type { Placed, RolloutPlan } from './rollout-plan.ts'

/** Rollouts in SQLite. Whoever writes does it within a transaction of the caller's. */

export interface Rollout {
  readonly id: string
  readonly model: string
  readonly version: string
  readonly plan: RolloutPlan
  readonly state: RolloutState
  readonly wave: number
  /** Milliseconds since 1970: when it came into its state. */
  readonly since: number
  readonly pausedIn: RolloutState | null
  readonly acceptedWave: number
  readonly created: number
  readonly createdBy: string
  readonly approvedBy: string | null
  readonly word: number | null
}

export interface Transition {
  readonly number: number
  readonly at: number
  readonly from: string
  readonly to: string
  readonly wave: number
  readonly by: string | null
  readonly reason: string
}

interface Row {
  readonly id: string
  readonly model: string
  readonly version: string
  readonly plan: string
  readonly state: RolloutState
  readonly wave: number
  readonly since: number
  readonly paused_in: RolloutState | null
  readonly accepted_wave: number
  readonly created: number
  readonly created_by: string
  readonly approved_by: string | null
  readonly word: number | null
}

const ROLLOUTS_MAX = 10_000
const MINUTE_MS = 60_000
const LIVE_LIST = LIVE.map((state) => `'${state}'`).join(', ')
/** All of it may still be on its way. */
const DOWNLOADING = "'', 'resolve', 'plan', 'download', 'verify'"

export class RolloutStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  create(rollout: { plan: RolloutPlan; by: string; now: number }): Rollout {
    const { plan, by, now } = rollout
    const id = this.nextId()
    this.#database
      .prepare(
        `INSERT INTO rollout (id, model, version, plan, state, since, created, created_by) VALUES (?, ?, ?, ?, 'draft', ?, ?, ?)`,
      )
      .run(
        id,
        plan.model,
        plan.version,
        JSON.stringify({ ...plan, entry: { ...plan.entry, rollout: id } }),
        now,
        now,
        by,
      )
    return this.get(id)
  }

  nextId(): string {
    const row = this.#database
      .prepare<[], { count: number; last: number | null }>(
        'SELECT count(*) AS count, max(CAST(substr(id, 3) AS INTEGER)) AS last FROM rollout',
      )
      .get()
    const { count, last } = row ?? { count: 0, last: 0 }
    // The last one is never let go, so no name is given twice.
    if (count < ROLLOUTS_MAX) return `r-${(last ?? 0) + 1}`
    throw new EdgeError('conflict', `Cannot make a rollout: there are ${count}, at most ${ROLLOUTS_MAX}`)
  }

  get(id: string): Rollout {
    const row = this.#database.prepare<[string], Row>('SELECT * FROM rollout WHERE id = ?').get(id)
    if (row === undefined) throw new EdgeError('not_found', `Cannot find rollout "${id}": there is none`)
    return toRollout(row)
  }

  /** The newest first, after the one of that id. */
  list({ after, count }: { after: string | undefined; count: number }): Rollout[] {
    const before = after === undefined ? Number.MAX_SAFE_INTEGER : Number(after.replace(/^r-/, ''))
    return this.#database
      .prepare<[number, number], Row>(
        `SELECT * FROM rollout WHERE CAST(substr(id, 3) AS INTEGER) < ? ORDER BY CAST(substr(id, 3) AS INTEGER) DESC LIMIT ?`,
      )
      .all(before, count)
      .map(toRollout)
  }

  /** Those for which something may still have to be done: live ones, and of each model the last that was started. */
  open(): Rollout[] {
    return this.#database
      .prepare<[], Row>(
        `SELECT * FROM rollout AS r WHERE word IS NOT NULL AND (state IN (${LIVE_LIST})
           OR word = (SELECT max(word) FROM rollout WHERE model = r.model)) ORDER BY word`,
      )
      .all()
      .map(toRollout)
  }

  /** Live ones of the model that hold one of these devices, or may come to. */
  liveOf(model: string, except: string): Rollout[] {
    return this.#database
      .prepare<[string, string], Row>(
        `SELECT * FROM rollout WHERE model = ? AND id <> ? AND state IN (${LIVE_LIST})`,
      )
      .all(model, except)
      .map(toRollout)
  }

  sharedDevice(one: string, other: string): string | undefined {
    return this.#database
      .prepare<[string, string], { device: string }>(
        `SELECT device FROM rollout_device WHERE rollout = ? AND state <> 'left'
         AND device IN (SELECT device FROM rollout_device WHERE rollout = ?) LIMIT 1`,
      )
      .get(one, other)?.device
  }

  move(
    id: string,
    to: { state: RolloutState; wave: number; by: string | null; reason: string; now: number },
  ): void {
    const before = this.get(id)
    this.#database
      .prepare('UPDATE rollout SET state = ?, wave = ?, since = ?, paused_in = ? WHERE id = ?')
      .run(to.state, to.wave, to.now, to.state === 'paused' ? before.state : null, id)
    this.#database
      .prepare(
        `INSERT INTO rollout_transition (rollout, at, from_state, to_state, wave, by, reason) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(id, to.now, before.state, to.state, to.wave, to.by, to.reason)
  }

  setApprovedBy(id: string, by: string): void {
    this.#database.prepare('UPDATE rollout SET approved_by = ? WHERE id = ?').run(by, id)
  }

  accept(id: string, wave: number): void {
    this.#database.prepare('UPDATE rollout SET accepted_wave = ? WHERE id = ?').run(wave, id)
  }

  /** From its start on it is a word among others. */
  say(id: string, word: number): void {
    this.#database
      .prepare('UPDATE rollout SET word = coalesce(word, @word), last_word = @word WHERE id = @id')
      .run({ id, word })
  }

  /** How many were not in it before. */
  add(id: string, placed: readonly Placed[]): number {
    const insert = this.#database.prepare(
      `INSERT INTO rollout_device (rollout, device, wave, bucket, state) VALUES (?, ?, ?, ?, 'waiting') ON CONFLICT DO NOTHING`,
    )
    return placed.reduce(
      (sum, { device, wave, bucket }) => sum + insert.run(id, device, wave, bucket).changes,
      0,
    )
  }

  /** How many of them were in it, and had not begun. */
  leave(id: string, devices: readonly { id: string }[]): number {
    const update = this.#database.prepare(
      `UPDATE rollout_device SET state = 'left', code = 'deselected', reason = 'the selector does not select it any more'
       WHERE rollout = ? AND device = ? AND state IN ('waiting', 'deferred') AND gives = 'nothing'`,
    )
    return devices.reduce((sum, device) => sum + update.run(id, device.id).changes, 0)
  }

  holds(id: string, device: string): boolean {
    const find = this.#database.prepare(
      "SELECT 1 FROM rollout_device WHERE rollout = ? AND device = ? AND state <> 'left'",
    )
    return find.get(id, device) !== undefined
  }

  /** Devices whose own assignment names the model. */
  pinned(model: string): string[] {
    return this.#database
      .prepare<[string], { target: string }>(
        "SELECT target FROM assignment_word WHERE model = ? AND target <> 'all'",
      )
      .all(model)
      .map(({ target }) => target)
  }

  /** Another model that is assigned to all, and that devices serve under the same name. */
  servedNameTaken(model: string): string | undefined {
    const served = model.split('/').at(-1)
    return this.#database
      .prepare<[], { model: string }>("SELECT model FROM assignment_word WHERE target = 'all'")
      .all()
      .find((other) => other.model !== model && other.model.split('/').at(-1) === served)?.model
  }

  transitions(id: string): Transition[] {
    return this.#database
      .prepare<[string], Transition>(
        `SELECT number, at, from_state AS "from", to_state AS "to", wave, by, reason FROM rollout_transition WHERE rollout = ? ORDER BY number`,
      )
      .all(id)
  }

  counts(id: string, waves: number): Counts[] {
    const rows = this.#database
      .prepare<[string], { wave: number; state: MemberState; count: number }>(
        'SELECT wave, state, count(*) AS count FROM rollout_device WHERE rollout = ? GROUP BY wave, state',
      )
      .all(id)
    const none = Object.fromEntries(MEMBER_STATES.map((state) => [state, 0])) as Counts
    const counts = Array.from({ length: waves }, () => ({ ...none }) as Record<MemberState, number>)
    for (const { wave, state, count } of rows) {
      const of = counts[wave]
      if (of !== undefined) of[state] = count
    }
    return counts
  }

  tally({ id, plan, state }: Rollout, now: number): Omit<Tally, 'closedBecause'> {
    const count = (sql: string, ...given: (string | number)[]) =>
      this.#database
        .prepare<(string | number)[], { count: number }>(
          `SELECT count(*) AS count FROM rollout_device WHERE ${sql}`,
        )
        .get(...given)?.count ?? 0
    return {
      waves: this.counts(id, plan.waves.length),
      // One that is ahead of the clock was given before that was set back.
      startsLastMinute: count('rollout = ? AND given > ? AND given <= ?', id, now - MINUTE_MS, now),
      downloads: count(`rollout = ? AND state IN ('assigned', 'taken') AND step IN (${DOWNLOADING})`, id),
      toRevert:
        state === 'reverting'
          ? count("rollout = ? AND gives = 'version' AND device IN (SELECT id FROM device)", id)
          : 0,
    }
  }

  /** Failures by what they were, with some of the devices; also those that have gone back since. */
  failures(id: string): { state: string; code: string; reason: string; count: number; devices: string[] }[] {
    return this.#database
      .prepare<[string], { state: string; code: string; reason: string; count: number; devices: string }>(
        `SELECT failure AS state, failure_code AS code, min(failure_reason) AS reason, count(*) AS count,
           json_group_array(device) AS devices FROM rollout_device
         WHERE rollout = ? AND failure <> '' GROUP BY failure, failure_code ORDER BY count DESC, code`,
      )
      .all(id)
      .map((row) => ({ ...row, devices: (JSON.parse(row.devices) as string[]).slice(0, FAILED_NAMED_MAX) }))
  }

  devices(
    id: string,
    page: { state: string | undefined; after: string; count: number },
  ): {
    device: string
    wave: number
    state: string
    step: string
    code: string
    reason: string
    given: number | null
  }[] {
    this.get(id)
    return this.#database
      .prepare<[object], ReturnType<RolloutStore['devices']>[number]>(
        `SELECT device, wave, state, step, code, reason, failure, given FROM rollout_device WHERE rollout = @id
         AND (@state IS NULL OR state = @state) AND device > @after ORDER BY device LIMIT @count`,
      )
      .all({ id, ...page, state: page.state ?? null })
  }
}

const FAILED_NAMED_MAX = 20

function toRollout(row: Row): Rollout {
  return {
    id: row.id,
    model: row.model,
    version: row.version,
    plan: JSON.parse(row.plan) as RolloutPlan,
    state: row.state,
    wave: row.wave,
    since: row.since,
    pausedIn: row.paused_in,
    acceptedWave: row.accepted_wave,
    created: row.created,
    createdBy: row.created_by,
    approvedBy: row.approved_by,
    word: row.word,
  }
}
