import type { Clock } from '../../kit/clock.ts'
import { type Database, transact } from '../../kit/database.ts'
import type { Command } from '../../link/commands.ts'

/** Far more than can come before the oldest of them has expired. */
const KEPT_MAX = 1000

export interface Ending {
  readonly state: 'done' | 'failed' | 'expired'
  readonly code: string
  readonly reason: string
  readonly result: unknown
}

/** Which commands have come: written before one is done, so that none is done twice, however often it comes. */
export class CommandBook {
  readonly #database: Database
  readonly #clock: Clock
  readonly #report: (event: object) => void

  /** `report` is called within the transaction that makes it true. */
  constructor(parts: { database: Database; clock: Clock; report: (event: object) => void }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#report = parts.report
    transact(this.#database, () =>
      this.#database.exec(
        `CREATE TABLE IF NOT EXISTS command_taken (
           number INTEGER PRIMARY KEY AUTOINCREMENT,
           rid TEXT NOT NULL UNIQUE,
           op TEXT NOT NULL,
           taken INTEGER NOT NULL,
           state TEXT NOT NULL) STRICT`,
      ),
    )
  }

  /** False: it has come before. */
  begin({ rid, op }: Command): boolean {
    return transact(this.#database, () => {
      const { changes, lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO command_taken (rid, op, taken, state) VALUES (?, ?, ?, 'begun') ON CONFLICT DO NOTHING`,
        )
        .run(rid, op, this.#clock.now())
      if (changes === 0) return false
      this.#database
        .prepare('DELETE FROM command_taken WHERE number <= ?')
        .run(Number(lastInsertRowid) - KEPT_MAX)
      return true
    })
  }

  /** How it ended, and that the registry hears of it: both or neither. */
  end({ rid, op }: Pick<Command, 'rid' | 'op'>, ending: Ending): void {
    transact(this.#database, () => {
      this.#database.prepare('UPDATE command_taken SET state = ? WHERE rid = ?').run(ending.state, rid)
      this.#report({ kind: 'command', rid, op, ...ending })
    })
  }

  /** What an earlier run of this process had begun, and did not live to end. */
  endInterrupted(): void {
    const open = this.#database
      .prepare<[], { rid: string; op: string }>(`SELECT rid, op FROM command_taken WHERE state = 'begun'`)
      .all()
    for (const command of open) {
      const reason = 'the agent ended while it was at it'
      this.end(command, { state: 'failed', code: 'interrupted', reason, result: null })
    }
  }
}
