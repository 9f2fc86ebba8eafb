import type { Database } from '../kit/database.ts'
import type { AssignedModels } from './assignments.ts'
import { type Fact, isFailure, type Member, type MemberChange } from './rollout-member.ts'
import type { Rollout } from './rollout-store.ts'
import { isSelected, type Selectable, type Selector } from './selector.ts'

/** The devices of a rollout, with what is known of each: only those are read of which something may have changed. */

interface Row {
  readonly device: string
  readonly state: Member['state']
  readonly gives: Member['gives']
  readonly given: number | null
  readonly activated: number | null
  readonly progressed: number | null
  readonly step: string
  readonly rev: number | null
  readonly known: string | null
  readonly pinned: string | null
  readonly online: number | null
  readonly seen: number | null
  readonly device_rev: number | null
  readonly running: string | null
  readonly update_rev: number | null
  readonly update_version: string | null
  readonly update_state: string | null
  readonly update_code: string | null
  readonly update_reason: string | null
}

/** Both ways of looking are named: SQLite has no figures of the table that it could choose by. */
const joined = (index: string) => `
  SELECT m.device, m.state, m.gives, m.given, m.activated, m.progressed, m.step, m.rev, d.id AS known, w.target AS pinned,
    d.online, d.seen, d.rev AS device_rev, f.running, f.update_rev, f.update_version, f.update_state, f.update_code, f.update_reason
  FROM rollout_device m INDEXED BY ${index}
    LEFT JOIN device d ON d.id = m.device
    LEFT JOIN device_model f ON f.device = m.device AND f.model = @model
    LEFT JOIN assignment_word w ON w.target = m.device AND w.model = @model
  WHERE m.rollout = @id AND `

const OFFLINE = '(SELECT id FROM device WHERE online = 0)'
const UNDERWAY = "m.state IN ('assigned', 'taken', 'trial', 'reverting')"
const AWAITED = "m.state IN ('deferred', 'vanished') AND d.online = 1"
const DOUBTED = "m.state IN ('timed_out', 'failed', 'rejected', 'stranded') AND d.online = 1"
// A few devices each, which are looked up in the rollout.
const PINNED =
  "m.device IN (SELECT target FROM assignment_word WHERE model = @model) AND m.state IN ('waiting', 'deferred')"
const WAITING_AWAY = `m.device IN ${OFFLINE} AND m.state = 'waiting' AND m.wave <= @wave`
const COMMITTED_AWAY = `m.device IN ${OFFLINE} AND m.state = 'committed' AND m.activated > @activated`
/** Of which nobody has said that they are gone: the broker may have had no chance to. */
const COMMITTED_SILENT =
  "m.state = 'committed' AND m.activated > @activated AND d.online = 1 AND d.seen <= @silent"
const COMMITTED_ALERTED =
  "m.device IN (SELECT device FROM alert WHERE severity = 'critical' AND cleared IS NULL) AND m.state = 'committed' AND m.activated > @activated"
const COMMITTED_CHANGED = "m.device IN (SELECT id FROM device WHERE is_changed = 1) AND m.state = 'committed'"
const GONE = "m.state IN ('waiting', 'deferred') AND d.id IS NULL"

const BY_STATE = joined('rollout_device_state')
const BY_DEVICE = joined('rollout_device_device')

/** Of which the wave has to wait, or which may be another than they were. */
const WATCHED = [
  ...[UNDERWAY, AWAITED, DOUBTED].map((which) => BY_STATE + which),
  ...[PINNED, WAITING_AWAY, COMMITTED_AWAY, COMMITTED_ALERTED, COMMITTED_CHANGED].map(
    (which) => BY_DEVICE + which,
  ),
]

interface Watched {
  readonly member: Member
  readonly fact: Fact
}

/** Milliseconds since 1970. */
interface Since {
  /** Whose switch was before is not asked after any more. */
  readonly activated: number
  /** Who has given no sign of life since. */
  readonly silent: number
}

export class RolloutMembers {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  watched(rollout: Rollout, since: Since): Watched[] {
    return WATCHED.flatMap((which) => this.#watch(which, rollout, since))
  }

  /** Who has gone without a word. All that wait, or serve it, have to be looked at for it: not each second. */
  gone(rollout: Rollout, since: Since): Watched[] {
    return [GONE, COMMITTED_SILENT].flatMap((which) => this.#watch(BY_STATE + which, rollout, since))
  }

  #watch(sql: string, { id, model, wave }: Rollout, { activated, silent }: Since): Watched[] {
    return this.#database
      .prepare<[object], Row>(sql)
      .all({ id, model, wave, activated, silent })
      .map(toMember)
  }

  change(rollout: string, device: string, change: MemberChange): void {
    const { state, gives, activated, progressed, step, code = '', reason = '' } = change
    this.#database
      .prepare(
        `UPDATE rollout_device SET state = @state, gives = coalesce(@gives, gives), activated = coalesce(@activated, activated),
           progressed = coalesce(@progressed, progressed), step = coalesce(@step, step), code = @code, reason = @reason
         WHERE rollout = @rollout AND device = @device`,
      )
      .run({
        ...{ rollout, device, state, code, reason },
        gives: gives ?? null,
        activated: activated ?? null,
        progressed: progressed ?? null,
        step: step ?? null,
      })
    if (isFailure(state) || state === 'stranded')
      this.#noteFailure({ rollout, device, failure: state, code, reason })
    else if (state === 'committed') this.#noteFailure({ rollout, device, failure: '', code: '', reason: '' })
  }

  #noteFailure(of: { rollout: string; device: string; failure: string; code: string; reason: string }): void {
    this.#database
      .prepare(
        `UPDATE rollout_device SET failure = @failure, failure_code = @code, failure_reason = @reason
         WHERE rollout = @rollout AND device = @device`,
      )
      .run(of)
  }

  /** Of the waves that have begun, those that are there, in the order of their buckets. */
  startable({ id, wave }: Rollout, count: number): string[] {
    return this.#devices(
      `rollout = ? AND state = 'waiting' AND wave <= ? AND (SELECT online FROM device WHERE id = device) = 1
       ORDER BY wave, bucket, device LIMIT ?`,
      [id, wave, count],
    )
  }

  /** That serve it, or may: those that are known to be there first. */
  revertible(id: string, count: number): string[] {
    return this.#devices(
      `rollout = ? AND gives = 'version' AND device IN (SELECT id FROM device)
       ORDER BY device IN (SELECT id FROM device WHERE online = 0), wave, bucket LIMIT ?`,
      [id, count],
    )
  }

  /** Whose way back has not been signed yet. */
  unsigned(id: string, count: number): string[] {
    return this.#database
      .prepare<[string, number], { device: string }>(
        `SELECT m.device FROM rollout_device m INDEXED BY rollout_device_unsigned JOIN device d ON d.id = m.device
         WHERE m.rollout = ? AND m.gives = 'back' AND m.rev IS NULL LIMIT ?`,
      )
      .all(id, count)
      .map(({ device }) => device)
  }

  #devices(where: string, given: readonly (string | number)[]): string[] {
    return this.#database
      .prepare<(string | number)[], { device: string }>(`SELECT device FROM rollout_device WHERE ${where}`)
      .all(...given)
      .map(({ device }) => device)
  }

  give(
    rollout: string,
    device: string,
    to: { state: string; gives: string; now: number; ran?: string | null },
  ): void {
    this.#database
      .prepare(
        `UPDATE rollout_device SET state = @state, gives = @gives, given = @now, progressed = @now, step = '', code = '', reason = '',
           ran = coalesce(ran, @ran) WHERE rollout = @rollout AND device = @device`,
      )
      .run({ rollout, device, ...to, ran: to.ran ?? null })
  }

  setRev(rollout: string, device: string, rev: number): void {
    this.#database
      .prepare('UPDATE rollout_device SET rev = ? WHERE rollout = ? AND device = ?')
      .run(rev, rollout, device)
  }

  /** Nobody who has not got it yet gets it any more, and who has it without serving it need not go on. */
  withdraw(rollout: string): void {
    this.#database
      .prepare(
        "UPDATE rollout_device SET state = 'withdrawn' WHERE rollout = ? AND state IN ('waiting', 'deferred') AND gives = 'nothing'",
      )
      .run(rollout)
    this.#database
      .prepare(
        `UPDATE rollout_device SET gives = 'back', rev = NULL,
           state = iif(state IN ('assigned', 'taken', 'deferred'), 'withdrawn', state)
         WHERE rollout = ? AND gives = 'version' AND state NOT IN ('trial', 'committed')
           AND (activated IS NULL OR state NOT IN ('deferred', 'vanished', 'alerted', 'timed_out'))`,
      )
      .run(rollout)
  }

  /** The same for one that turned out to have failed afterwards. */
  takeBack(rollout: string): void {
    this.#database
      .prepare(
        `UPDATE rollout_device SET gives = 'back', rev = NULL WHERE rollout = ? AND gives = 'version' AND state NOT IN ('trial', 'committed')`,
      )
      .run(rollout)
  }

  /** The first of later waves that are there come into this one. */
  refill({ id, wave }: Rollout, count: number): number {
    return this.#database
      .prepare(
        `UPDATE rollout_device SET wave = @wave WHERE rollout = @id AND device IN (
           SELECT device FROM rollout_device WHERE rollout = @id AND state = 'waiting' AND wave > @wave
             AND (SELECT online FROM device WHERE id = device) = 1 ORDER BY wave, bucket, device LIMIT @count)`,
      )
      .run({ id, wave, count }).changes
  }

  /** What of a model runs on a device, as it would be assigned; null: nothing. */
  ran(device: string, { model, plan }: Rollout): string | null {
    const row = this.#database
      .prepare<[string, string], { running: string | null; version: string | null; release: number | null }>(
        'SELECT running, running_version AS version, running_release AS release FROM device_model WHERE device = ? AND model = ?',
      )
      .get(device, model)
    if (row?.running == null || row.version === null || row.release === null) return null
    if (row.running === plan.entry.manifest) return null
    const { version, release, running: manifest } = row
    return JSON.stringify({ model, version, manifest, release } as AssignedModels[number])
  }
}

/** Devices as selectors see them. */
export function selectDevices(
  database: Database,
  selector: Selector,
  { onlyChanged, limit }: { onlyChanged: boolean; limit: number },
): (Selectable & { isOnline: boolean; isMeant: boolean })[] {
  const running = database.prepare<[string], { model: string; version: string }>(
    'SELECT model, running_version AS version FROM device_model WHERE device = ? AND running_version IS NOT NULL',
  )
  const asksRunning = selector.terms.some(({ of }) => of === 'running')
  return database
    .prepare<[number], { id: string; hardware_class: string; tags: string; online: number }>(
      `SELECT id, hardware_class, tags, online FROM device ${onlyChanged ? 'INDEXED BY device_changed WHERE is_changed = 1' : ''} ORDER BY id LIMIT ?`,
    )
    .all(limit)
    .map(({ id, hardware_class, tags, online }) => {
      const versions = asksRunning ? running.all(id).map(({ model, version }) => [model, version]) : []
      const device: Selectable = {
        id,
        hardware: hardware_class,
        tags: JSON.parse(tags) as Record<string, string>,
        running: Object.fromEntries(versions) as Record<string, string>,
      }
      return { ...device, isOnline: online === 1, isMeant: isSelected(selector, device) }
    })
}

function toMember(row: Row): Watched {
  const { device, state, gives, given, activated, progressed, step, rev } = row
  const hasUpdate = row.update_rev !== null && row.update_version !== null && row.update_state !== null
  return {
    member: { device, state, gives, given, activated, progressed, step, rev },
    fact: {
      isKnown: row.known !== null,
      isPinned: row.pinned !== null,
      isOnline: row.online === 1,
      seen: row.seen ?? 0,
      rev: row.device_rev ?? 0,
      running: row.running,
      update: hasUpdate
        ? {
            rev: row.update_rev ?? 0,
            version: row.update_version ?? '',
            state: row.update_state ?? '',
            code: row.update_code ?? '',
            reason: row.update_reason ?? '',
          }
        : null,
      alert: null,
    },
  }
}
