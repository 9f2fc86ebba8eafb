import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { type Batch, type SeriesPoints, thin, thinBatches, unpack } from '../link/telemetry-batch.ts'

/** What one device has sent, with its place in that device's own count. */
export interface ArrivedBatch extends Batch {
  readonly device: string
  readonly sid: string
  readonly seq: number
}

interface Row {
  readonly number: number
  readonly device: string
  readonly from_ms: number
  readonly to_ms: number
  readonly is_settled: number
  readonly weight: number
  readonly body: Uint8Array
}

/** How many minutes are in it. */
type Weighed = Batch & { readonly weight: number }

export interface TelemetryLimits {
  readonly bytesMax: number
  readonly minuteSeconds: number
  readonly coarseSeconds: number
}

const DAY_SECONDS = 86_400
export const DEFAULT_LIMITS: TelemetryLimits = {
  bytesMax: 8 * 1024 ** 3,
  minuteSeconds: 7 * DAY_SECONDS,
  coarseSeconds: 90 * DAY_SECONDS,
}

/** Of the coarse points. */
const COARSE_SECONDS = 600
/** What is asked for over longer than this is told in coarse points. */
const FINE_MS_MAX = 26 * 3_600_000
/** A stretch is put together once nothing of it is likely to come any more; what comes later changes it again. */
const SETTLED_MS = 2 * COARSE_SECONDS * 1000
/** A device whose clock is ahead has not measured in the future. */
const AHEAD_MS_MAX = 300_000
/** Of what a device has put together itself. */
const COARSE_WEIGHT = COARSE_SECONDS / 60
/** Rows read for one question. */
const ROWS_MAX = 20_000
const [FINE, COARSE] = [0, 1] as const

/**
 * What devices have measured. A batch is one row, as it came, for a week; beside it a row for each ten minutes stays for
 * long. When all together is too much, the oldest fine rows go first, then the oldest of all.
 */
export class TelemetryStore {
  readonly #database: Database
  readonly #clock: Clock
  readonly #limits: TelemetryLimits
  #bytes: number

  constructor(parts: { database: Database; clock: Clock; limits?: TelemetryLimits }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#limits = parts.limits ?? DEFAULT_LIMITS
    this.#bytes = this.#measure()
  }

  get bytes(): number {
    return this.#bytes
  }

  /** All of them in one transaction. Batches of a device come in their order: what is not newer is a copy. */
  keep(batches: readonly ArrivedBatch[]): void {
    const known = this.#database.prepare<[string, string], { seq: number }>(
      'SELECT seq FROM telemetry_mark WHERE device = ? AND sid = ?',
    )
    const mark = this.#database.prepare(
      `INSERT INTO telemetry_mark (device, sid, seq) VALUES (?, ?, ?)
       ON CONFLICT (device, sid) DO UPDATE SET seq = excluded.seq`,
    )
    transact(this.#database, () => {
      for (const { device, sid, seq, ...batch } of batches) {
        if (seq <= (known.get(device, sid)?.seq ?? 0)) continue
        this.#take(device, this.#notAhead(batch))
        mark.run(device, sid, seq)
      }
    })
  }

  /** What a device has measured under these names (all, where none is given), in at most so many points a series. */
  history(
    device: string,
    asked: { names: readonly string[]; fromMs: number; toMs: number; pointsMax: number },
  ): SeriesPoints[] {
    const { names, fromMs, toMs, pointsMax } = asked
    const rows = toMs - fromMs > FINE_MS_MAX ? this.#coarseRows(device, asked) : this.#fineRows(device, asked)
    const series = unpack(rows.map(decode), (name) => names.length === 0 || names.includes(name))
    const stepMs = Math.max(1000, Math.ceil((toMs - fromMs) / pointsMax))
    return series
      .map((each) => ({
        ...each,
        points: each.points.filter(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs),
      }))
      .filter(({ points }) => points.length > 0)
      .map((each) => ({
        ...each,
        points: each.points.length > pointsMax ? thin(each.points, stepMs) : each.points,
      }))
  }

  /** One step of keeping order, short enough to stand between two messages; true where there is more to do. */
  tidy(): boolean {
    const nowMs = this.#clock.now()
    const isMore = transact(this.#database, () => {
      const coarsened = this.#coarsenOldest(nowMs - SETTLED_MS)
      const aged = [
        this.#dropOlderThan(FINE, nowMs - this.#limits.minuteSeconds * 1000),
        this.#dropOlderThan(COARSE, nowMs - this.#limits.coarseSeconds * 1000),
      ]
      return [coarsened, ...aged, this.#dropSurplus()].includes(true)
    })
    return isMore
  }

  #take(device: string, batch: Batch): void {
    if (batch.step_seconds < COARSE_SECONDS) this.#insert(FINE, device, { ...batch, weight: 1 })
    else this.#mergeCoarse(device, [encode({ ...batch, weight: COARSE_WEIGHT })])
  }

  #notAhead(batch: Batch): Batch {
    const aheadMs = batch.to - this.#clock.now()
    if (aheadMs <= AHEAD_MS_MAX) return batch
    return { ...batch, from: Math.max(0, batch.from - aheadMs), to: batch.to - aheadMs }
  }

  #insert(tier: number, device: string, batch: Weighed): void {
    const { from_ms, to_ms, weight, body } = encode(batch)
    this.#database
      .prepare(
        `INSERT INTO telemetry (device, tier, from_ms, to_ms, is_settled, weight, bytes, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(device, tier, from_ms, to_ms, tier === COARSE ? 1 : 0, weight, body.byteLength, body)
    this.#bytes += body.byteLength
  }

  /** Points of one stretch may come at several times: its row holds them all, and what it already held weighs so much. */
  #mergeCoarse(device: string, rows: readonly Pick<Row, 'from_ms' | 'to_ms' | 'weight' | 'body'>[]): void {
    const stretchMs = COARSE_SECONDS * 1000
    const from = stretchMs * Math.floor(Math.min(...rows.map(({ from_ms }) => from_ms)) / stretchMs)
    const before = this.#rowsOf(device, { tier: COARSE, from, to: from })
    this.#remove(before)
    const all = [...before, ...rows]
    const weight = all.reduce((sum, each) => sum + each.weight, 0)
    this.#insert(COARSE, device, { ...thinBatches(all.map(decode), COARSE_SECONDS), weight })
  }

  #coarseRows(device: string, { fromMs, toMs }: { fromMs: number; toMs: number }): Row[] {
    const fresh = this.#database
      .prepare<[string, number, number, number], Row>(
        `SELECT * FROM telemetry WHERE device = ? AND tier = ${FINE} AND is_settled = 0 AND from_ms <= ? AND from_ms >= ?
         ORDER BY from_ms LIMIT ?`,
      )
      .all(device, toMs, fromMs, ROWS_MAX)
    return [...this.#rowsIn(device, { tier: COARSE, fromMs, toMs }), ...fresh]
  }

  /** The fine ones, and the coarse ones of what came as such. */
  #fineRows(device: string, { fromMs, toMs }: { fromMs: number; toMs: number }): Row[] {
    const fine = this.#rowsIn(device, { tier: FINE, fromMs, toMs })
    const stretchMs = COARSE_SECONDS * 1000
    const covered = new Set(fine.map(({ from_ms }) => Math.floor(from_ms / stretchMs)))
    const coarse = this.#rowsIn(device, { tier: COARSE, fromMs, toMs })
    return [...coarse.filter(({ from_ms }) => !covered.has(Math.floor(from_ms / stretchMs))), ...fine]
  }

  #rowsIn(device: string, { tier, fromMs, toMs }: { tier: number; fromMs: number; toMs: number }): Row[] {
    // A row that begins before the first moment may reach into it.
    return this.#rowsOf(device, { tier, from: fromMs - 2 * COARSE_SECONDS * 1000, to: toMs })
  }

  #rowsOf(device: string, { tier, from, to }: { tier: number; from: number; to: number }): Row[] {
    return this.#database
      .prepare<[string, number, number, number, number], Row>(
        'SELECT * FROM telemetry WHERE device = ? AND tier = ? AND from_ms BETWEEN ? AND ? ORDER BY from_ms LIMIT ?',
      )
      .all(device, tier, from, to, ROWS_MAX)
  }

  /** The oldest stretch that has new fine rows becomes one coarse row. */
  #coarsenOldest(beforeMs: number): boolean {
    const oldest = this.#database
      .prepare<[number], { device: string; from_ms: number }>(
        'SELECT device, from_ms FROM telemetry WHERE is_settled = 0 AND to_ms < ? ORDER BY to_ms LIMIT 1',
      )
      .get(beforeMs)
    if (oldest === undefined) return false
    const { device } = oldest
    const stretchMs = COARSE_SECONDS * 1000
    const from = stretchMs * Math.floor(oldest.from_ms / stretchMs)
    const fine = this.#rowsOf(device, { tier: FINE, from, to: from + stretchMs - 1 }).filter(
      ({ is_settled }) => is_settled === 0,
    )
    this.#mergeCoarse(device, fine)
    const settle = this.#database.prepare('UPDATE telemetry SET is_settled = 1 WHERE number = ?')
    for (const { number } of fine) settle.run(number)
    return true
  }

  #dropOlderThan(tier: number, timeMs: number): boolean {
    return this.#removeOldest('tier = ? AND from_ms < ? AND is_settled = 1', [tier, timeMs])
  }

  #dropSurplus(): boolean {
    if (this.#bytes <= this.#limits.bytesMax) return false
    return (
      this.#removeOldest('tier = ? AND is_settled = 1', [FINE]) ||
      this.#removeOldest('tier = ?', [COARSE]) ||
      this.#removeOldest('tier = ?', [FINE])
    )
  }

  #removeOldest(where: string, given: readonly number[]): boolean {
    const rows = this.#database
      .prepare<number[], { number: number; bytes: number }>(
        `SELECT number, bytes FROM telemetry WHERE ${where} ORDER BY from_ms LIMIT 200`,
      )
      .all(...given)
    const remove = this.#database.prepare('DELETE FROM telemetry WHERE number = ?')
    for (const { number, bytes } of rows) {
      remove.run(number)
      this.#bytes -= bytes
    }
    return rows.length > 0
  }

  #remove(rows: readonly Row[]): void {
    const remove = this.#database.prepare('DELETE FROM telemetry WHERE number = ?')
    for (const { number, body } of rows) {
      remove.run(number)
      this.#bytes -= body.byteLength
    }
  }

  #measure(): number {
    const sum = 'SELECT coalesce(sum(bytes), 0) AS bytes FROM telemetry INDEXED BY telemetry_age'
    return this.#database.prepare<[], { bytes: number }>(sum).get()?.bytes ?? 0
  }
}

function encode({ from, to, weight, ...rest }: Weighed): Pick<Row, 'from_ms' | 'to_ms' | 'weight' | 'body'> {
  return { from_ms: from, to_ms: to, weight, body: zstdCompressSync(JSON.stringify(rest)) }
}

function decode({
  from_ms,
  to_ms,
  weight,
  body,
}: Pick<Row, 'from_ms' | 'to_ms' | 'weight' | 'body'>): Weighed {
  const rest = JSON.parse(zstdDecompressSync(body).toString()) as Omit<Batch, 'from' | 'to'>
  return { ...rest, from: from_ms, to: to_ms, weight }
}
