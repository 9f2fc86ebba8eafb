import type { Database } from '../kit/database.ts'
import type { Liveness } from './liveness.ts'
import { LIVE, ROLLOUT_STATES } from './rollout.ts'

/** Label sets of one family at most: a fleet may have run any number of versions. */
const VERSIONS_MAX = 200
const ALERTS_MAX = 100
/** Rollouts that are under way, the newest first. */
const ROLLOUTS_MAX = 20

export interface Count {
  readonly labels: Readonly<Record<string, string>>
  readonly count: number
}

/** The fleet in numbers, from what its devices have reported last. */
export class Census {
  readonly #database: Database
  readonly #liveness: Pick<Liveness, 'isAlive'>

  constructor({ database, liveness }: { database: Database; liveness: Pick<Liveness, 'isAlive'> }) {
    this.#database = database
    this.#liveness = liveness
  }

  /** One that has given no sign of life for too long is offline, whether or not its broker has said so. */
  byPresence(): Count[] {
    const devices = this.#database
      .prepare<[], { id: string; online: number; seen: number | null }>('SELECT id, online, seen FROM device')
      .all()
    const alive = devices.filter(({ id, online, seen }) =>
      this.#liveness.isAlive({ id, isOnline: online === 1, seen }),
    ).length
    return [
      { labels: { liveness: 'alive' }, count: alive },
      { labels: { liveness: 'offline' }, count: devices.length - alive },
    ]
  }

  /** Those that hold. */
  byAlert(): Count[] {
    const rows = this.#rows<{ name: string; severity: string }>(
      `SELECT name, severity, count(*) AS count FROM alert WHERE cleared IS NULL
       GROUP BY name, severity ORDER BY severity, count DESC, name`,
    )
    const listed = rows
      .slice(0, ALERTS_MAX)
      .map(({ name, severity, count }) => ({ labels: { name, severity }, count }))
    const others = Map.groupBy(rows.slice(ALERTS_MAX), ({ severity }) => severity)
    return [
      ...listed,
      ...[...others].map(([severity, rest]) => ({
        labels: { name: 'other', severity },
        count: rest.reduce((sum, { count }) => sum + count, 0),
      })),
    ]
  }

  /** Each state is told, those that no rollout is in as well: what watches them sees a change, not a beginning. */
  byRollout(): Count[] {
    const rows = this.#rows<{ state: string }>('SELECT state, count(*) AS count FROM rollout GROUP BY state')
    return ROLLOUT_STATES.map((state) => ({
      labels: { state },
      count: rows.find((row) => row.state === state)?.count ?? 0,
    }))
  }

  /** How the devices of each rollout stand that is under way. */
  byMember(): Count[] {
    const live = LIVE.map((state) => `'${state}'`).join(', ')
    const rows = this.#rows<{ rollout: string; model: string; state: string }>(
      `SELECT m.rollout, r.model, m.state, count(*) AS count FROM rollout_device m
       JOIN (SELECT id, model, word FROM rollout WHERE state IN (${live}) ORDER BY word DESC LIMIT ${ROLLOUTS_MAX}) r
         ON r.id = m.rollout
       GROUP BY m.rollout, m.state ORDER BY r.word, m.state`,
    )
    return rows.map(({ rollout, model, state, count }) => ({ labels: { rollout, model, state }, count }))
  }

  /** What runs most comes first; what is beyond the bound is told as one. */
  byVersion(): Count[] {
    const rows = this.#rows<{ model: string; version: string }>(
      `SELECT model, running_version AS version, count(*) AS count FROM device_model WHERE running_version IS NOT NULL
       GROUP BY model, running_version ORDER BY count DESC, model, running_version`,
    )
    const listed = rows
      .slice(0, VERSIONS_MAX)
      .map(({ model, version, count }) => ({ labels: { model, version }, count }))
    const others = rows.slice(VERSIONS_MAX).reduce((sum, { count }) => sum + count, 0)
    return others === 0
      ? listed
      : [...listed, { labels: { model: 'other', version: 'other' }, count: others }]
  }

  /** Of the last update of each model on each device. */
  byUpdate(): Count[] {
    const rows = this.#rows<{ state: string }>(
      `SELECT update_state AS state, count(*) AS count FROM device_model WHERE update_state IS NOT NULL
       GROUP BY update_state ORDER BY update_state LIMIT 32`,
    )
    return rows.map(({ state, count }) => ({ labels: { state }, count }))
  }

  #rows<Row>(sql: string): (Row & { count: number })[] {
    return this.#database.prepare<[], Row & { count: number }>(sql).all()
  }
}
