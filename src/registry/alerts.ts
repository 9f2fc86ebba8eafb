import { z } from 'zod'
import type { Clock } from '../kit/clock.ts'
import type { Database } from '../kit/database.ts'
import type { LiveFeed } from './live.ts'

/** An alert as a device tells it, among its events. */
const AlertEvent = z.object({
  kind: z.literal('alert'),
  name: z.string().max(64),
  /** What of the device it is about, like a thermal zone; empty where there is only one. */
  subject: z.string().max(256).default(''),
  state: z.enum(['raised', 'cleared']),
  severity: z.enum(['warning', 'critical']),
  since: z.int().min(0),
  time: z.int().min(0),
  value: z.number(),
  limit: z.number(),
  message: z.string().max(1000),
})

const Report = z.object({
  alerts: z.array(z.looseObject({ name: z.string(), subject: z.string().default('') })).max(1_000),
})

export interface Alert {
  readonly device: string
  readonly name: string
  readonly subject: string
  readonly severity: 'warning' | 'critical'
  /** Milliseconds since 1970 by the device's clock. */
  readonly since: number
  /** The same by the registry's clock. */
  readonly raised: number
  readonly value: number
  readonly limit: number
  readonly message: string
  /** Null while it holds. */
  readonly cleared: number | null
}

/** Of one device, those that hold included; those that were cleared first go. */
const KEPT_MAX = 200
const LISTED_MAX = 10_000

export interface AlertsWanted {
  readonly isActive: boolean
  readonly severity?: Alert['severity'] | undefined
  readonly count?: number | undefined
}

export interface AlertParts {
  readonly database: Database
  readonly clock: Clock
  readonly live: LiveFeed
  /** How far a device's clock is ahead of this one; null where that is not known. */
  readonly clockOffsetMs: (device: string) => number | null
}

/** What devices complain of: the last word on each complaint. What was said before is among their events. */
export class Alerts {
  readonly #database: Database
  readonly #clock: Clock
  readonly #live: LiveFeed
  readonly #clockOffsetMs: AlertParts['clockOffsetMs']

  constructor({ database, clock, live, clockOffsetMs }: AlertParts) {
    this.#database = database
    this.#clock = clock
    this.#live = live
    this.#clockOffsetMs = clockOffsetMs
  }

  /** Within the transaction that keeps the event; what is about something else is let go. */
  take(device: string, body: unknown): void {
    const parsed = AlertEvent.safeParse(body)
    if (!parsed.success) return
    const { state, time, ...alert } = parsed.data
    this.#database
      .prepare(
        `INSERT INTO alert (device, name, subject, severity, since, raised, value, "limit", message, cleared)
         VALUES (@device, @name, @subject, @severity, @since, @raised, @value, @limit, @message, @cleared)
         ON CONFLICT (device, name, subject) DO UPDATE SET severity = excluded.severity, since = excluded.since,
           raised = excluded.raised, value = excluded.value, "limit" = excluded."limit", message = excluded.message, cleared = excluded.cleared`,
      )
      .run({
        ...{ ...alert, device, cleared: state === 'cleared' ? time : null },
        raised: this.#raised(device, alert.since),
      })
    this.#database
      .prepare(
        `DELETE FROM alert WHERE rowid IN (
           SELECT rowid FROM alert WHERE device = ? ORDER BY cleared IS NULL DESC, cleared DESC LIMIT -1 OFFSET ?)`,
      )
      .run(device, KEPT_MAX)
    this.#live.publish({ kind: 'alert', id: device })
  }

  /** By this clock, whatever the device's says: nothing was raised after it was heard of. */
  #raised(device: string, since: number): number {
    return Math.min(this.#clock.now(), since - Math.round(this.#clockOffsetMs(device) ?? 0))
  }

  /**
   * A device says in each report which alerts hold: one that it does not know any more, because its disk was lost, would
   * hold for ever. Within the transaction that keeps the report.
   */
  settle(device: string, report: unknown, timeMs: number): void {
    const parsed = Report.safeParse(report)
    if (!parsed.success) return
    const held = parsed.data.alerts.map(({ name, subject }) => JSON.stringify([name, subject]))
    const gone = this.active(device).filter(
      ({ name, subject }) => !held.includes(JSON.stringify([name, subject])),
    )
    const clear = this.#database.prepare(
      'UPDATE alert SET cleared = ? WHERE device = ? AND name = ? AND subject = ?',
    )
    for (const { name, subject } of gone) clear.run(timeMs, device, name, subject)
    if (gone.length > 0) this.#live.publish({ kind: 'alert', id: device })
  }

  of(device: string): Alert[] {
    return this.#database
      .prepare<[string], Alert>(
        'SELECT * FROM alert WHERE device = ? ORDER BY cleared IS NULL DESC, coalesce(cleared, since) DESC',
      )
      .all(device)
  }

  active(device: string): Alert[] {
    return this.of(device).filter(({ cleared }) => cleared === null)
  }

  /** Those that hold come first, of these the gravest, then the newest. */
  list(wanted: AlertsWanted): { readonly alerts: Alert[]; readonly total: number } {
    const where = `WHERE (@active = 0 OR cleared IS NULL) AND (@severity IS NULL OR severity = @severity)`
    const given = {
      active: wanted.isActive ? 1 : 0,
      severity: wanted.severity ?? null,
      count: Math.min(wanted.count ?? LISTED_MAX, LISTED_MAX),
    }
    const alerts = this.#database
      .prepare<[object], Alert>(
        `SELECT * FROM alert ${where}
         ORDER BY cleared IS NULL DESC, iif(cleared IS NULL, severity, ''), coalesce(cleared, since) DESC LIMIT @count`,
      )
      .all(given)
    const counted = this.#database
      .prepare<[object], { total: number }>(`SELECT count(*) AS total FROM alert ${where}`)
      .get(given)
    return { alerts, total: counted?.total ?? 0 }
  }

  /** What a critical alert says that was raised after that, by the registry's clock, and holds; null where there is none. */
  criticalSince(device: string, afterMs: number): string | null {
    const found = this.active(device).find(
      ({ severity, raised }) => severity === 'critical' && raised >= afterMs,
    )
    return found?.message ?? null
  }

  /** How many hold, and the gravest and newest of them. */
  summary(newestMax: number): { warning: number; critical: number; newest: Alert[] } {
    const rows = this.#database
      .prepare<[], { severity: Alert['severity']; count: number }>(
        'SELECT severity, count(*) AS count FROM alert WHERE cleared IS NULL GROUP BY severity',
      )
      .all()
    const count = (severity: Alert['severity']) => rows.find((row) => row.severity === severity)?.count ?? 0
    return {
      warning: count('warning'),
      critical: count('critical'),
      newest: this.#database
        .prepare<[number], Alert>(
          'SELECT * FROM alert WHERE cleared IS NULL ORDER BY severity, since DESC LIMIT ?',
        )
        .all(newestMax),
    }
  }

  /** Devices of which at least one alert holds. */
  devicesWarned(): Set<string> {
    const rows = this.#database
      .prepare<[], { device: string }>('SELECT DISTINCT device FROM alert WHERE cleared IS NULL')
      .all()
    return new Set(rows.map(({ device }) => device))
  }
}
