import { present } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import type { Backlog } from './backlog-sender.ts'
import { type DeviceEvent, EVENTS_MAX, encodeMessage } from './messages.ts'

const LOG = logger('link')
const BYTES_MAX = 64 * 1024 ** 2

/**
 * What the registry has to hear, in order, until it says that it has. `put` is called within the transaction that makes
 * it true: either both are on disk or neither.
 */
export class Outbox implements Backlog {
  /** Of this outbox, for good: with `seq` it names an event. */
  readonly sid: string
  readonly #database: Database
  readonly #clock: Clock
  readonly #bytesMax: number
  #bytes: number
  #onPut: () => void = () => undefined

  constructor(parts: { database: Database; clock: Clock; random: Random; bytesMax?: number }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#bytesMax = parts.bytesMax ?? BYTES_MAX
    this.sid = transact(this.#database, () => {
      this.#database.exec(`
        CREATE TABLE IF NOT EXISTS outbox_session (sid TEXT NOT NULL, connections INTEGER NOT NULL DEFAULT 0) STRICT;
        CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL) STRICT;
      `)
      return this.#readSid() ?? this.#makeSid(parts.random)
    })
    this.#bytes = this.#measure()
  }

  #readSid(): string | undefined {
    return this.#database.prepare<[], { sid: string }>('SELECT sid FROM outbox_session').get()?.sid
  }

  #makeSid(random: Random): string {
    const sid = random.bytes(8).toHex()
    this.#database.prepare('INSERT INTO outbox_session (sid) VALUES (?)').run(sid)
    return sid
  }

  /** Counts the connections of this device, for good: what an older one has said is older, however late it comes. */
  nextConnection(): number {
    return transact(this.#database, () => {
      this.#database.exec('UPDATE outbox_session SET connections = connections + 1')
      const row = this.#database
        .prepare<[], { connections: number }>('SELECT connections FROM outbox_session')
        .get()
      return present(row, 'the outbox has its session').connections
    })
  }

  put(event: object): void {
    const body = JSON.stringify({ time: this.#clock.now(), ...event })
    transact(this.#database, () => {
      this.#database.prepare('INSERT INTO outbox (body) VALUES (?)').run(body)
      // What is rolled back is counted all the same, until there is too much and it is looked at.
      this.#bytes += body.length
      if (this.#bytes > this.#bytesMax) this.#dropOldest()
    })
    this.#onPut()
  }

  /** A device that is alone for months keeps the newest; that something is missing shows in the count. */
  #dropOldest(): void {
    this.#bytes = this.#measure()
    if (this.#bytes <= this.#bytesMax) return
    const { changes } = this.#database
      .prepare(
        `DELETE FROM outbox WHERE seq IN (
           SELECT seq FROM (SELECT seq, sum(length(body)) OVER (ORDER BY seq DESC) AS bytes FROM outbox)
           WHERE bytes > ?)`,
      )
      .run(this.#bytesMax)
    this.#bytes = this.#measure()
    LOG.warn('link.events_dropped', { events: changes, outbox_bytes_max: this.#bytesMax })
  }

  #measure(upTo = Number.MAX_SAFE_INTEGER): number {
    const sum = 'SELECT coalesce(sum(length(body)), 0) AS bytes FROM outbox WHERE seq <= ?'
    return this.#database.prepare<[number], { bytes: number }>(sum).get(upTo)?.bytes ?? 0
  }

  /** The next events after one, in order, as they go out. */
  after(seq: number, count: number): DeviceEvent[] {
    return this.#database
      .prepare<[number, number], { seq: number; body: string }>(
        'SELECT seq, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?',
      )
      .all(seq, count)
      .map((row) => ({ ...(JSON.parse(row.body) as object), sid: this.sid, seq: row.seq }))
  }

  /** What waits: at least as much as is on disk. */
  get bytes(): number {
    return this.#bytes
  }

  next(bytesMax: number): { payload: Uint8Array; last: number } | undefined {
    const events = this.after(0, EVENTS_MAX).map(({ sid: _, ...event }) => event)
    let bytes = 0
    const fitting = events.findIndex((event) => {
      bytes += JSON.stringify(event).length
      return bytes > bytesMax
    })
    // At least one: what never fits would hold up all that comes after it.
    const sent = fitting === -1 ? events : events.slice(0, Math.max(1, fitting))
    const last = sent.at(-1)?.seq
    if (last === undefined) return undefined
    return { payload: encodeMessage({ sid: this.sid, events: sent }), last }
  }

  /** The registry has all up to that one: they are sent in order. */
  remove(seq: number): void {
    transact(this.#database, () => {
      this.#bytes -= this.#measure(seq)
      this.#database.prepare('DELETE FROM outbox WHERE seq <= ?').run(seq)
    })
  }

  /** Called after each `put`, within its transaction: only to wake somebody. */
  onPut(call: () => void): void {
    this.#onPut = call
  }
}
