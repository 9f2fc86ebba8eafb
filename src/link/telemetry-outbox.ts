import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { logger } from '../kit/log.ts'
import type { Backlog } from './backlog-sender.ts'
import { encodeMessage } from './messages.ts'
import type { Outbox } from './outbox.ts'
import { type Batch, thinBatches } from './telemetry-batch.ts'

const LOG = logger('link')
const BYTES_MAX = 64 * 1024 ** 2
const AGE_MS_MAX = 90 * 86_400_000
/** From the finest to the coarsest: what is short of room goes from one to the next before anything is dropped. */
const STEPS_SECONDS = [10, 60, 600] as const
/** Batches older than that tell of the past. */
const LIVE_MS_MAX = 150_000
/** What a row takes beside its text. */
const ROW_BYTES = 48
/** Batches that one message brings. */
const BATCHES_MAX = 64
/** Merged at once. */
const GROUP_MAX = 64

interface Row {
  readonly seq: number
  readonly step_seconds: number
  readonly from_ms: number
  readonly to_ms: number
  readonly body: string
}

/**
 * What was measured, in order, until the registry says that it has it. It shares its room with the events, which come
 * first: what is more than half of what they leave is thinned, the oldest first, and what is more than all is dropped.
 * What has been sent is left as it is, since the registry may have it already.
 */
export class TelemetryOutbox implements Backlog {
  readonly sid: string
  readonly #database: Database
  readonly #clock: Clock
  readonly #events: Outbox
  readonly #bytesMax: number
  readonly #ageMsMax: number
  #bytes: number
  #dropped = 0
  #isDropping = false
  #onPut: () => void = () => undefined

  constructor(parts: {
    database: Database
    clock: Clock
    events: Outbox
    bytesMax?: number
    ageMsMax?: number
  }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#events = parts.events
    this.#bytesMax = parts.bytesMax ?? BYTES_MAX
    this.#ageMsMax = parts.ageMsMax ?? AGE_MS_MAX
    this.sid = `${parts.events.sid}-tm`
    transact(this.#database, () =>
      this.#database.exec(`
        CREATE TABLE IF NOT EXISTS telemetry_outbox (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          step_seconds INTEGER NOT NULL,
          from_ms INTEGER NOT NULL,
          to_ms INTEGER NOT NULL,
          sent INTEGER NOT NULL DEFAULT 0,
          body TEXT NOT NULL
        ) STRICT;
        CREATE INDEX IF NOT EXISTS telemetry_outbox_step ON telemetry_outbox (sent, step_seconds, seq);`),
    )
    this.#bytes = this.#measure()
  }

  /** Bytes that wait; rows and their age; what had no room since the start. */
  get waiting(): { bytes: number; batches: number; oldestMs: number | undefined; dropped: number } {
    const row = this.#database
      .prepare<[], { batches: number; oldest: number | null }>(
        'SELECT count(*) AS batches, min(from_ms) AS oldest FROM telemetry_outbox',
      )
      .get()
    const oldestMs = row?.oldest ?? undefined
    return { bytes: this.#bytes, batches: row?.batches ?? 0, oldestMs, dropped: this.#dropped }
  }

  put(batch: Batch): void {
    transact(this.#database, () => {
      this.#insert(batch)
      const since = this.#clock.now() - this.#ageMsMax
      this.#dropWhile(({ to_ms }) => to_ms < since)
      this.#makeRoom()
    })
    this.#onPut()
  }

  next(bytesMax: number): { payload: Uint8Array; last: number } | undefined {
    const rows = this.#oldest(bytesMax)
    const last = rows.at(-1)?.seq
    if (last === undefined) return undefined
    this.#markSent(last)
    const liveSince = this.#clock.now() - LIVE_MS_MAX
    const batches = rows.map(({ seq, to_ms, body }) => ({
      seq,
      hist: to_ms < liveSince,
      ...(JSON.parse(body) as Batch),
    }))
    return { payload: encodeMessage({ sid: this.sid, time: this.#clock.now(), batches }), last }
  }

  /** Up to that one: they are sent in order. */
  remove(seq: number): void {
    this.#isDropping = false
    transact(this.#database, () => {
      this.#bytes -= this.#measure(seq)
      this.#database.prepare('DELETE FROM telemetry_outbox WHERE seq <= ?').run(seq)
    })
  }

  onPut(call: () => void): void {
    this.#onPut = call
  }

  #insert(batch: Batch, seq?: number): void {
    const body = JSON.stringify(batch)
    this.#database
      .prepare(
        'INSERT INTO telemetry_outbox (seq, step_seconds, from_ms, to_ms, body) VALUES (?, ?, ?, ?, ?)',
      )
      .run(seq ?? null, batch.step_seconds, batch.from, batch.to, body)
    this.#bytes += body.length + ROW_BYTES
  }

  #oldest(bytesMax: number): Row[] {
    const rows = this.#database
      .prepare<[number], Row>('SELECT * FROM telemetry_outbox ORDER BY seq LIMIT ?')
      .all(BATCHES_MAX)
    let bytes = 0
    const fitting = rows.findIndex(({ body }) => {
      bytes += body.length + ROW_BYTES
      return bytes > bytesMax
    })
    // At least one: what never fits would hold up all that comes after it.
    return fitting === -1 ? rows : rows.slice(0, Math.max(1, fitting))
  }

  #markSent(last: number): void {
    const mark = this.#database.prepare('UPDATE telemetry_outbox SET sent = 1 WHERE seq <= ? AND sent = 0')
    const unsent = 'SELECT 1 FROM telemetry_outbox WHERE seq <= ? AND sent = 0 LIMIT 1'
    if (this.#database.prepare(unsent).get(last) === undefined) return
    transact(this.#database, () => mark.run(last))
  }

  #makeRoom(): void {
    const most = Math.max(0, this.#bytesMax - this.#events.bytes)
    while (this.#bytes > most / 2 && this.#thinOnce());
    this.#dropWhile(() => this.#bytes > most)
  }

  /** The oldest of the finest that can be put together; false where nothing can. */
  #thinOnce(): boolean {
    for (const [index, step] of STEPS_SECONDS.slice(0, -1).entries()) {
      const longer = STEPS_SECONDS[index + 1] ?? step
      const rows = this.#group(step, longer)
      const last = rows.at(-1)
      if (last === undefined) continue
      const remove = this.#database.prepare('DELETE FROM telemetry_outbox WHERE seq = ?')
      for (const { seq } of rows) remove.run(seq)
      this.#bytes -= rows.reduce((sum, { body }) => sum + body.length + ROW_BYTES, 0)
      this.#insert(
        thinBatches(
          rows.map(({ body }) => JSON.parse(body) as Batch),
          longer,
        ),
        last.seq,
      )
      return true
    }
    return false
  }

  /** Neighbours that fall into one longer step, which others have come after: it is complete. */
  #group(step: number, longer: number): Row[] {
    const [first] = this.#unsent(step, { from: 0, count: 1 })
    if (first === undefined) return []
    const bucketOf = ({ from_ms }: Row) => Math.floor(from_ms / (longer * 1000))
    const rows = this.#unsent(step, { from: first.seq, count: GROUP_MAX })
    const end = rows.findIndex((row) => bucketOf(row) !== bucketOf(first))
    if (end === -1) return rows.length === GROUP_MAX ? rows : []
    return rows.slice(0, end)
  }

  #unsent(step: number, { from, count }: { from: number; count: number }): Row[] {
    return this.#database
      .prepare<[number, number, number], Row>(
        'SELECT * FROM telemetry_outbox WHERE sent = 0 AND step_seconds = ? AND seq >= ? ORDER BY seq LIMIT ?',
      )
      .all(step, from, count)
  }

  /** The oldest, one after the other: all of them together would take too long to look at. */
  #dropWhile(isTooMuch: (oldest: { to_ms: number }) => boolean): void {
    const first = this.#database.prepare<[], { seq: number; to_ms: number; bytes: number }>(
      `SELECT seq, to_ms, length(body) + ${ROW_BYTES} AS bytes FROM telemetry_outbox ORDER BY seq LIMIT 1`,
    )
    const remove = this.#database.prepare('DELETE FROM telemetry_outbox WHERE seq = ?')
    let dropped = 0
    for (let oldest = first.get(); oldest !== undefined && isTooMuch(oldest); oldest = first.get()) {
      remove.run(oldest.seq)
      this.#bytes -= oldest.bytes
      dropped += 1
    }
    this.#noteDropped(dropped)
  }

  /** Told when it begins, not each time: a month without a line has many minutes. */
  #noteDropped(batches: number): void {
    if (batches === 0) return
    this.#dropped += batches
    if (!this.#isDropping) LOG.warn('link.telemetry_dropped', { batches, outbox_bytes_max: this.#bytesMax })
    this.#isDropping = true
  }

  #measure(upTo = Number.MAX_SAFE_INTEGER): number {
    const sum = `SELECT coalesce(sum(length(body) + ${ROW_BYTES}), 0) AS bytes FROM telemetry_outbox WHERE seq <= ?`
    return this.#database.prepare<[number], { bytes: number }>(sum).get(upTo)?.bytes ?? 0
  }
}
