import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import type { ApiKey } from './api-keys.ts'
import type { LiveFeed } from './live.ts'

/** Who changes what, from where. */
export interface Change {
  readonly key: Pick<ApiKey, 'id' | 'name' | 'role'>
  readonly method: string
  readonly path: string
  /** The device, rollout, key, … that it is about; empty where that is made by the change. */
  readonly subject: string
  /** What was asked, without secrets; null where it says nothing. */
  readonly detail: unknown
  readonly address: string
}

export interface AuditEntry extends Change {
  readonly number: number
  /** Milliseconds since 1970. */
  readonly time: number
  /** `begun` until it has ended, and for good where the registry ended first; `done`; or the code of the refusal. */
  readonly outcome: string
}

const ENTRIES_MAX = 100_000

/** Every change that somebody with a key has made, written down before it is made. The oldest entries go. */
export class Audit {
  readonly #database: Database
  readonly #clock: Clock
  readonly #live: LiveFeed
  readonly #entriesMax: number

  constructor(parts: { database: Database; clock: Clock; live: LiveFeed; entriesMax?: number }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#live = parts.live
    this.#entriesMax = parts.entriesMax ?? ENTRIES_MAX
  }

  begin({ key, ...change }: Change): number {
    const number = transact(this.#database, () => {
      const { lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO audit (time, key_id, key_name, key_role, method, path, subject, detail, address, outcome)
           VALUES (@time, @key_id, @key_name, @key_role, @method, @path, @subject, @detail, @address, 'begun')`,
        )
        .run({
          ...change,
          time: this.#clock.now(),
          key_id: key.id,
          key_name: key.name,
          key_role: key.role,
          detail: JSON.stringify(change.detail),
        })
      this.#database
        .prepare('DELETE FROM audit WHERE number <= ?')
        .run(Number(lastInsertRowid) - this.#entriesMax)
      return Number(lastInsertRowid)
    })
    this.#live.publish({ kind: 'audit', id: String(number) })
    return number
  }

  /** `subject` is what the change has made, where it was not known before. */
  end(number: number, { outcome, subject }: { outcome: string; subject: string | undefined }): void {
    transact(this.#database, () =>
      this.#database
        .prepare('UPDATE audit SET outcome = ?, subject = coalesce(?, subject) WHERE number = ?')
        .run(outcome, subject ?? null, number),
    )
    this.#live.publish({ kind: 'audit', id: String(number) })
  }

  /** In order, after a number; without one the newest. */
  list(range: { after: number | undefined; count: number; subject: string | undefined }): AuditEntry[] {
    const { after = 0, count, subject = null } = range
    const order = range.after === undefined ? 'DESC' : 'ASC'
    return this.#database
      .prepare<[object], Row>(
        `SELECT * FROM (
           SELECT * FROM audit WHERE number > @after AND (@subject IS NULL OR subject = @subject)
           ORDER BY number ${order} LIMIT @count)
         ORDER BY number`,
      )
      .all({ after, count, subject })
      .map(toEntry)
  }
}

interface Row extends Omit<AuditEntry, 'key' | 'detail'> {
  readonly key_id: string
  readonly key_name: string
  readonly key_role: ApiKey['role']
  readonly detail: string
}

function toEntry({ key_id, key_name, key_role, detail, ...row }: Row): AuditEntry {
  return {
    ...row,
    key: { id: key_id, name: key_name, role: key_role },
    detail: JSON.parse(detail) as unknown,
  }
}
