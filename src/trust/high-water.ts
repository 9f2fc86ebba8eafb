import { type Database, transact } from '../kit/database.ts'

/**
 * The highest versions that were accepted, apart from the files: a lost file must never mean forgotten roll-back
 * protection. When the root names other keys for timestamp or snapshot, all but the root's are forgotten: that is how
 * TUF recovers from a version that a thief has driven up (specification 5.3.11).
 */
export interface HighWater {
  versionOf(role: string): number | undefined
  /** Delegated and top-level targets roles that were ever listed. */
  targetsRoles(): readonly string[]
  raise(versions: ReadonlyMap<string, number>): void
  /** A root is trusted from here on; `onlineKeys` stands for the keys of timestamp and snapshot. */
  enterRoot(root: { version: number; onlineKeys: string }): void
  /** When the last accepted timestamp was signed, milliseconds; 0 where none was. */
  issuedMs(): number
  raiseIssued(ms: number): void
}

const NOT_TARGETS: ReadonlySet<string> = new Set(['root', 'timestamp', 'snapshot'])

export class HighWaterMemory implements HighWater {
  readonly #versions = new Map<string, number>()
  #onlineKeys: string | undefined
  #issuedMs = 0

  versionOf(role: string): number | undefined {
    return this.#versions.get(role)
  }

  targetsRoles(): readonly string[] {
    return [...this.#versions.keys()].filter((role) => !NOT_TARGETS.has(role))
  }

  raise(versions: ReadonlyMap<string, number>): void {
    for (const [role, version] of versions) {
      this.#versions.set(role, Math.max(version, this.#versions.get(role) ?? 0))
    }
  }

  enterRoot(root: { version: number; onlineKeys: string }): void {
    if (this.#onlineKeys !== root.onlineKeys) {
      const before = this.#versions.get('root') ?? 0
      this.#versions.clear()
      this.#versions.set('root', before)
      this.#issuedMs = 0
    }
    this.#onlineKeys = root.onlineKeys
    this.raise(new Map([['root', root.version]]))
  }

  issuedMs(): number {
    return this.#issuedMs
  }

  raiseIssued(ms: number): void {
    this.#issuedMs = Math.max(ms, this.#issuedMs)
  }
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS trust_versions (role TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS trust_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
`

/** The same in SQLite. Nothing is written where nothing has changed: a device looks often, and flash wears. */
export class HighWaterTable implements HighWater {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
    database.exec(SCHEMA)
  }

  versionOf(role: string): number | undefined {
    const row = this.#database.prepare('SELECT version FROM trust_versions WHERE role = ?').get(role)
    return (row as { version: number } | undefined)?.version
  }

  targetsRoles(): readonly string[] {
    const rows = this.#database.prepare('SELECT role FROM trust_versions').all() as { role: string }[]
    return rows.map(({ role }) => role).filter((role) => !NOT_TARGETS.has(role))
  }

  issuedMs(): number {
    return Number(this.#fact('issued_ms') ?? 0)
  }

  raise(versions: ReadonlyMap<string, number>): void {
    const higher = [...versions].filter(([role, version]) => version > (this.versionOf(role) ?? 0))
    if (higher.length > 0) transact(this.#database, () => this.#putVersions(higher))
  }

  enterRoot({ version, onlineKeys }: { version: number; onlineKeys: string }): void {
    const isRotated = this.#fact('online_keys') !== onlineKeys
    const before = this.versionOf('root') ?? 0
    if (!isRotated && version <= before) return
    transact(this.#database, () => {
      if (isRotated) {
        this.#database.exec("DELETE FROM trust_versions WHERE role <> 'root'")
        this.#putFact('issued_ms', '0')
      }
      this.#putFact('online_keys', onlineKeys)
      this.#putVersions([['root', Math.max(version, before)]])
    })
  }

  raiseIssued(ms: number): void {
    if (ms > this.issuedMs()) transact(this.#database, () => this.#putFact('issued_ms', String(ms)))
  }

  #fact(name: string): string | undefined {
    const row = this.#database.prepare('SELECT value FROM trust_facts WHERE name = ?').get(name)
    return (row as { value: string } | undefined)?.value
  }

  #putVersions(versions: Iterable<readonly [string, number]>): void {
    const put = this.#database.prepare('INSERT OR REPLACE INTO trust_versions (role, version) VALUES (?, ?)')
    for (const [role, version] of versions) put.run(role, version)
  }

  #putFact(name: string, value: string): void {
    this.#database.prepare('INSERT OR REPLACE INTO trust_facts (name, value) VALUES (?, ?)').run(name, value)
  }
}
