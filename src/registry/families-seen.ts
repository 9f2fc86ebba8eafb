import type { Database } from '../kit/database.ts'

/** So many are kept of one report, as many as metadata may list. */
const FAMILIES_MAX = 500
/** More versions of a family than are signed between two backups. */
const LEAP_MAX = 1_000

/**
 * Which version of each family's metadata devices have seen: what is signed below that no device takes. After a restore
 * from an old copy it is above what is here, and the next that is signed has to be above it.
 */
export class FamiliesSeen {
  readonly #database: Database

  constructor({ database }: { database: Database }) {
    this.#database = database
  }

  /** The highest; 0 where nobody has seen any. Some device may lie: what is far above what is here does not count. */
  highest(family: string, published: number): number {
    return (
      this.#database
        .prepare<[string, number], { version: number | null }>(
          'SELECT max(version) AS version FROM family_seen WHERE family = ? AND version <= ?',
        )
        .get(family, published + LEAP_MAX)?.version ?? 0
    )
  }

  /** Within the transaction that keeps the report. */
  keep(device: string, versions: Readonly<Record<string, number>>): void {
    const put = this.#database.prepare(
      `INSERT INTO family_seen (device, family, version) VALUES (?, ?, ?)
       ON CONFLICT (device, family) DO UPDATE SET version = excluded.version WHERE version <> excluded.version`,
    )
    for (const [family, version] of Object.entries(versions).slice(0, FAMILIES_MAX))
      put.run(device, family, version)
  }
}
