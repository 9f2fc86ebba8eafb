import type { Database } from '../kit/database.ts'

/** Label sets of one family at most: a fleet may have run any number of versions. */
const VERSIONS_MAX = 200

export interface Count {
  readonly labels: Readonly<Record<string, string>>
  readonly count: number
}

/** The fleet in numbers, from what its devices have reported last. */
export class Census {
  readonly #database: Database

  constructor({ database }: { database: Database }) {
    this.#database = database
  }

  byPresence(): Count[] {
    const rows = this.#rows<{ online: number }>(
      'SELECT online, count(*) AS count FROM device GROUP BY online',
    )
    const count = (online: number) => rows.find((row) => row.online === online)?.count ?? 0
    return [
      { labels: { liveness: 'alive' }, count: count(1) },
      { labels: { liveness: 'offline' }, count: count(0) },
    ]
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
