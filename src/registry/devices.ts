import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Random } from '../kit/random.ts'
import type { Alerts } from './alerts.ts'
import { classOf, keepFacts } from './device-facts.ts'
import type { LiveFeed } from './live.ts'
import { mosquittoHash } from './mosquitto.ts'
import { hashSecret, isSameHash } from './secrets.ts'
import { type Tags, writeTags } from './tags.ts'

export interface Device {
  readonly id: string
  readonly hardware: unknown
  /** Canaries are chosen across these. */
  readonly hardware_class: string
  readonly tags: Tags
  /** Milliseconds since 1970, as all times here. */
  readonly enrolled: number
  readonly seen: number | null
  readonly isOnline: boolean
  /** What it reported last, whole; null before the first report. */
  readonly state: unknown
}

/** A fact that a device has told, with where it stands in that device's own count. */
export interface DeviceEvent {
  readonly sid: string
  readonly seq: number
  readonly body: unknown
}

/** A device's word on itself, or the broker's on its end. */
export interface ReportedState {
  readonly device: string
  readonly sid: string
  readonly seq: number
  readonly online: boolean
  readonly body: unknown
}

export interface KeptEvent extends DeviceEvent {
  readonly number: number
  readonly received: number
}

const SECRET_BYTES = 32
/** Of one device; the oldest go. */
const EVENTS_MAX = 10_000

export class Devices {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #live: LiveFeed
  readonly #alerts: Alerts

  constructor(parts: { database: Database; clock: Clock; random: Random; live: LiveFeed; alerts: Alerts }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#random = parts.random
    this.#live = parts.live
    this.#alerts = parts.alerts
  }

  has(id: string): boolean {
    return this.#database.prepare('SELECT 1 FROM device WHERE id = ?').get(id) !== undefined
  }

  get count(): number {
    const sql = 'SELECT count(*) AS devices FROM device'
    return this.#database.prepare<[], { devices: number }>(sql).get()?.devices ?? 0
  }

  /** A new credential; one from before is worth nothing from now on. */
  enrol(id: string, hardware: unknown): string {
    const secret = this.#random.bytes(SECRET_BYTES).toHex()
    const mosquitto = mosquittoHash(secret, this.#random)
    transact(this.#database, () =>
      this.#database
        .prepare(
          `INSERT INTO device (id, secret_sha256, hardware, hardware_class, enrolled, mosquitto) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET secret_sha256 = excluded.secret_sha256, hardware = excluded.hardware,
             hardware_class = excluded.hardware_class, enrolled = excluded.enrolled, mosquitto = excluded.mosquitto, is_changed = 1`,
        )
        .run(
          id,
          hashSecret(secret),
          JSON.stringify(hardware),
          enrolledClass(hardware),
          this.#clock.now(),
          mosquitto,
        ),
    )
    this.#live.publish({ kind: 'device', id })
    return secret
  }

  isSecretOf(id: string, secret: string): boolean {
    const row = this.#find(id)
    return row !== undefined && isSameHash(row.secret_sha256, hashSecret(secret))
  }

  /** What Mosquitto has to know, by device. */
  mosquittoHashes(): [device: string, hash: string][] {
    return this.#database
      .prepare<[], { id: string; mosquitto: string }>(
        'SELECT id, mosquitto FROM device WHERE mosquitto IS NOT NULL ORDER BY id',
      )
      .all()
      .map(({ id, mosquitto }) => [id, mosquitto])
  }

  list(): Device[] {
    return this.#database.prepare<[], Row>('SELECT * FROM device ORDER BY id').all().map(toDevice)
  }

  get(id: string): Device {
    const row = this.#find(id)
    if (row === undefined) throw new EdgeError('not_found', `Cannot find device "${id}": none is enrolled so`)
    return toDevice(row)
  }

  #find(id: string): Row | undefined {
    return this.#database.prepare<[string], Row>('SELECT * FROM device WHERE id = ?').get(id)
  }

  /** Life signs of any kind. */
  markSeen(ids: readonly string[]): void {
    if (ids.length === 0) return
    const update = this.#database.prepare('UPDATE device SET seen = ? WHERE id = ?')
    transact(this.#database, () => {
      for (const id of ids) update.run(this.#clock.now(), id)
    })
    for (const id of ids) this.#live.publish({ kind: 'device', id })
  }

  /**
   * What devices say of themselves, the last thing they said when they are gone; all of them in one transaction. What is
   * older than what is known, or a copy, changes nothing; neither does the death of one that has since been made anew.
   */
  keepStates(states: readonly ReportedState[]): void {
    const keep = this.#database.prepare(
      `UPDATE device SET sid = @sid, state_seq = @seq, online = @online, state = iif(@online = 1, @body, state), seen = @seen
       WHERE id = @device AND iif(sid IS @sid, state_seq < @seq, @online = 1)`,
    )
    const changed = transact(this.#database, () =>
      states.filter(({ device, sid, seq, online, body }) => {
        const text = JSON.stringify(body)
        const seen = this.#clock.now()
        const { changes } = keep.run({ device, sid, seq, online: online ? 1 : 0, body: text, seen })
        if (changes === 1 && online) {
          keepFacts(this.#database, device, body)
          this.#alerts.settle(device, body, seen)
        }
        return changes === 1
      }),
    )
    for (const { device } of changed) this.#live.publish({ kind: 'device', id: device })
  }

  keepState(device: string, state: Omit<ReportedState, 'device'>): void {
    this.keepStates([{ device, ...state }])
  }

  /** The newest metadata that any device has seen. */
  metadataSeen(): { timestamp: number; snapshot: number } {
    const row = this.#database
      .prepare<[], { timestamp: number | null; snapshot: number | null }>(
        `SELECT (SELECT max(timestamp_version) FROM device) AS timestamp, (SELECT max(snapshot_version) FROM device) AS snapshot`,
      )
      .get()
    return { timestamp: row?.timestamp ?? 0, snapshot: row?.snapshot ?? 0 }
  }

  tag(id: string, tags: Tags): void {
    writeTags(this.#database, id, tags)
    this.#live.publish({ kind: 'device', id })
  }

  /** All of them in one transaction; a copy of one that is known changes nothing. */
  keepEvents(events: readonly (DeviceEvent & { readonly device: string })[]): void {
    const insert = this.#database.prepare(
      'INSERT INTO event (device, sid, seq, received, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    )
    const devices = new Set(events.map((event) => event.device))
    transact(this.#database, () => {
      for (const { device, sid, seq, body } of events) {
        const { changes } = insert.run(device, sid, seq, this.#clock.now(), JSON.stringify(body))
        if (changes > 0) this.#alerts.take(device, body)
      }
      for (const device of devices) this.#dropOldest(device)
    })
    for (const id of devices) this.#live.publish({ kind: 'device', id })
  }

  #dropOldest(id: string): void {
    this.#database
      .prepare(
        `DELETE FROM event WHERE device = @id AND number <=
           (SELECT number FROM event WHERE device = @id ORDER BY number DESC LIMIT 1 OFFSET @most)`,
      )
      .run({ id, most: EVENTS_MAX })
  }

  /** In the order of their arrival, after a number, so that a reader can go on where it stopped; or the newest of them. */
  events(id: string, range: { after: number; count: number; isNewest?: boolean }): KeptEvent[] {
    this.get(id)
    const order = range.isNewest === true ? 'DESC' : 'ASC'
    return this.#database
      .prepare<[string, number, number], Omit<KeptEvent, 'body'> & { body: string }>(
        `SELECT * FROM (SELECT number, sid, seq, received, body FROM event WHERE device = ? AND number > ?
           ORDER BY number ${order} LIMIT ?) ORDER BY number`,
      )
      .all(id, range.after, range.count)
      .map((row) => ({ ...row, body: JSON.parse(row.body) as unknown }))
  }
}

/** Until it has reported for the first time. */
function enrolledClass(hardware: unknown): string {
  const { names } = (hardware ?? {}) as { names?: unknown }
  const listed = { names: Array.isArray(names) ? names.map(String) : [] }
  return classOf({ hardware_class: undefined, hardware: listed }) ?? 'unknown'
}

interface Row {
  readonly id: string
  readonly secret_sha256: Uint8Array
  readonly hardware: string
  readonly hardware_class: string
  readonly tags: string
  readonly enrolled: number
  readonly seen: number | null
  readonly online: number
  readonly state: string | null
}

function toDevice(row: Row): Device {
  return {
    id: row.id,
    hardware: JSON.parse(row.hardware) as unknown,
    hardware_class: row.hardware_class,
    tags: JSON.parse(row.tags) as Tags,
    enrolled: row.enrolled,
    seen: row.seen,
    isOnline: row.online === 1,
    state: row.state === null ? null : (JSON.parse(row.state) as unknown),
  }
}
