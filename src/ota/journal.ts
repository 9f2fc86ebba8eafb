import { present } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { migrate } from './journal-schema.ts'
import { ENDED, type State } from './machine.ts'
import type { OutboxPort } from './ports.ts'
import type { Assigned, Installed, Update, UpdateEvent } from './update.ts'

/** What the device should run, as the director has signed it. */
export interface Assignment {
  readonly rev: number
  readonly models: readonly Assigned[]
  /** "family/name@version" of versions that stay on the disk. */
  readonly keep: readonly string[]
  /** SHA-256 of the envelope that it came in. */
  readonly envelope: string
}

/** The new state of an update, and why. */
export interface Change {
  readonly state: State
  readonly code?: string
  readonly reason?: string
  readonly boots?: number
  readonly previous?: Installed | undefined
  /** The manifest is not tried again until a person says so or another one is assigned. */
  readonly quarantine?: boolean
}

export interface Quarantined {
  readonly manifest: string
  readonly model: string
  readonly version: string
  readonly code: string
  readonly reason: string
  readonly since_ms: number
}

/** A version that has proven itself on this device. */
export interface Good extends Installed {
  readonly sinceMs: number
  /** Half of its golden samples took no longer in the probe; undefined where it has none. */
  readonly typicalMs: number | undefined
}

interface Row {
  readonly id: number
  readonly state: State
  readonly rev: number
  readonly transitions: number
  readonly boots: number
  readonly began_ms: number
  readonly since_ms: number
  readonly code: string
  readonly reason: string
  readonly assigned: string
  readonly previous: string | null
}

const EVENTS_MAX = 200
const UPDATES_MAX = 500
const ENDED_LIST = ENDED.map((state) => `'${state}'`).join(', ')

/**
 * The memory of the update engine. A state and the event that reports it are one transaction: whatever is cut, the
 * registry hears of every state that was reached and of no other.
 */
export class Journal {
  readonly #database: Database
  readonly #clock: Clock
  readonly #outbox: OutboxPort

  constructor(parts: { database: Database; clock: Clock; outbox: OutboxPort }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#outbox = parts.outbox
    migrate(this.#database)
  }

  begin(assigned: Assigned): Update {
    const now = this.#clock.now()
    return transact(this.#database, () => {
      const { lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO ota_update
            (model, manifest, rev, state, transitions, boots, began_ms, since_ms, code, reason, assigned)
            VALUES (?, ?, ?, 'resolve', 1, 0, ?, ?, '', '', ?)`,
        )
        .run(assigned.model, assigned.manifest, assigned.rev, now, now, JSON.stringify(assigned))
      const update = this.find(Number(lastInsertRowid))
      this.#report(update, 'assigned')
      this.#database
        .prepare(`DELETE FROM ota_update WHERE id <= ? AND state IN (${ENDED_LIST})`)
        .run(update.id - UPDATES_MAX)
      return update
    })
  }

  /** Before the work of the state: whatever happens next, the next start knows what was begun. */
  write(id: number, change: Change): Update {
    return transact(this.#database, () => {
      const before = this.find(id)
      const previous = 'previous' in change ? change.previous : before.previous
      this.#database
        .prepare(
          `UPDATE ota_update SET state = ?, transitions = transitions + 1, boots = ?, since_ms = ?, code = ?,
            reason = ?, previous = ? WHERE id = ?`,
        )
        .run(
          change.state,
          change.boots ?? before.boots,
          this.#clock.now(),
          change.code ?? '',
          change.reason ?? '',
          previous === undefined ? null : JSON.stringify(previous),
          id,
        )
      const after = this.find(id)
      if (change.quarantine === true) this.#quarantine(after)
      this.#report(after, before.state)
      return after
    })
  }

  /** A start, or a clean stop, that changes no state: nothing to tell the registry. */
  count(id: number, change: { boots: number; transitions: number }): Update {
    return transact(this.#database, () => {
      this.#database
        .prepare('UPDATE ota_update SET boots = boots + ?, transitions = transitions + ? WHERE id = ?')
        .run(change.boots, change.transitions, id)
      return this.find(id)
    })
  }

  /** What served before; known from the moment when it is about to change. */
  notePrevious(id: number, previous: Installed | undefined): void {
    transact(this.#database, () => {
      this.#database
        .prepare('UPDATE ota_update SET previous = ? WHERE id = ?')
        .run(previous === undefined ? null : JSON.stringify(previous), id)
    })
  }

  /** The same version was assigned again: what is reported from now on counts for the newer assignment. */
  adopt(id: number, rev: number): void {
    transact(this.#database, () => {
      this.#database.prepare('UPDATE ota_update SET rev = ? WHERE id = ?').run(rev, id)
    })
  }

  find(id: number): Update {
    const row = this.#database.prepare<[number], Row>('SELECT * FROM ota_update WHERE id = ?').get(id)
    return toUpdate(present(row, `update ${id} is in the journal`))
  }

  /** Those that have not ended, oldest first. */
  working(): Update[] {
    return this.#database
      .prepare<[], Row>(`SELECT * FROM ota_update WHERE state NOT IN (${ENDED_LIST}) ORDER BY id`)
      .all()
      .map(toUpdate)
  }

  /** The newest update of each model. */
  latest(): Update[] {
    return this.#database
      .prepare<[], Row>(
        'SELECT * FROM ota_update WHERE id IN (SELECT MAX(id) FROM ota_update GROUP BY model) ORDER BY model',
      )
      .all()
      .map(toUpdate)
  }

  assign(assignment: Assignment): void {
    transact(this.#database, () => {
      this.#database
        .prepare('INSERT OR REPLACE INTO ota_assignment (id, rev, body) VALUES (1, ?, ?)')
        .run(assignment.rev, JSON.stringify(assignment))
    })
  }

  get assignment(): Assignment | undefined {
    const row = this.#database.prepare<[], { body: string }>('SELECT body FROM ota_assignment').get()
    return row === undefined ? undefined : (JSON.parse(row.body) as Assignment)
  }

  quarantined(): Quarantined[] {
    return this.#database
      .prepare<[], Quarantined>('SELECT * FROM ota_quarantine ORDER BY since_ms, manifest')
      .all()
  }

  isQuarantined(manifest: string): boolean {
    return this.quarantined().some((entry) => entry.manifest === manifest)
  }

  /** A person has looked into it. True when there was one. */
  release(manifest: string): boolean {
    return transact(
      this.#database,
      () =>
        this.#database.prepare('DELETE FROM ota_quarantine WHERE manifest = ?').run(manifest).changes === 1,
    )
  }

  /** What was held against the versions of a model, and how its updates ended. True when there was something. */
  forget(model: string): boolean {
    return transact(this.#database, () => {
      const released = this.#database.prepare('DELETE FROM ota_quarantine WHERE model = ?').run(model)
      const ended = this.#database
        .prepare(`DELETE FROM ota_update WHERE model = ? AND state IN (${ENDED_LIST})`)
        .run(model)
      return released.changes + ended.changes > 0
    })
  }

  good(model: string): Good | undefined {
    const row = this.#database
      .prepare<[string], { body: string }>('SELECT body FROM ota_good WHERE model = ?')
      .get(model)
    return row === undefined ? undefined : (JSON.parse(row.body) as Good)
  }

  setGood(model: string, good: Good): void {
    transact(this.#database, () => {
      this.#database.prepare('INSERT OR REPLACE INTO ota_good VALUES (?, ?)').run(model, JSON.stringify(good))
    })
  }

  /** Something that an update has to remember over a restart, and nobody else wants to know. */
  note(name: string): unknown {
    const row = this.#database
      .prepare<[string], { body: string }>('SELECT body FROM ota_note WHERE name = ?')
      .get(name)
    return row === undefined ? undefined : JSON.parse(row.body)
  }

  setNote(name: string, value: unknown): void {
    transact(this.#database, () => {
      if (value === undefined) this.#database.prepare('DELETE FROM ota_note WHERE name = ?').run(name)
      else
        this.#database
          .prepare('INSERT OR REPLACE INTO ota_note VALUES (?, ?)')
          .run(name, JSON.stringify(value))
    })
  }

  /** A note and the event that comes of it, at once: it is told exactly once. */
  settle(of: { note: string; left: unknown; event: Omit<UpdateEvent, 'time'> | undefined }): void {
    transact(this.#database, () => {
      this.setNote(of.note, of.left)
      if (of.event !== undefined) this.#put({ time: this.#clock.now(), ...of.event })
    })
  }

  /** The last ones, newest first. */
  events(): UpdateEvent[] {
    return this.#database
      .prepare<[], { body: string }>('SELECT body FROM ota_event ORDER BY id DESC')
      .all()
      .map(({ body }) => JSON.parse(body) as UpdateEvent)
  }

  /** Of something that is no change of an update's state: an assignment that was refused, a version that fell back. */
  tell(event: Omit<UpdateEvent, 'time'>): void {
    transact(this.#database, () => this.#put({ time: this.#clock.now(), ...event }))
  }

  #report(update: Update, from: UpdateEvent['from']): void {
    const { rev, model, version, manifest, code, reason } = update
    const attempt = update.transitions
    this.#put({
      time: update.sinceMs,
      rev,
      model,
      version,
      manifest,
      from,
      to: update.state,
      attempt,
      code,
      reason,
    })
  }

  #put(event: UpdateEvent): void {
    const { lastInsertRowid } = this.#database
      .prepare('INSERT INTO ota_event (body) VALUES (?)')
      .run(JSON.stringify(event))
    this.#database.prepare('DELETE FROM ota_event WHERE id <= ?').run(Number(lastInsertRowid) - EVENTS_MAX)
    this.#outbox.put(event)
  }

  #quarantine(update: Update): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO ota_quarantine VALUES (?, ?, ?, ?, ?, ?)')
      .run(update.manifest, update.model, update.version, update.code, update.reason, update.sinceMs)
  }
}

function toUpdate(row: Row): Update {
  return {
    ...(JSON.parse(row.assigned) as Assigned),
    id: row.id,
    rev: row.rev,
    state: row.state,
    transitions: row.transitions,
    boots: row.boots,
    beganMs: row.began_ms,
    sinceMs: row.since_ms,
    code: row.code,
    reason: row.reason,
    previous: row.previous === null ? undefined : (JSON.parse(row.previous) as Installed),
  }
}
