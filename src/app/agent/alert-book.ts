import { type AlertChange, type AlertState, type AlertStates, keyOf } from '../../health/alerts.ts'
import { type Database, transact } from '../../kit/database.ts'

/** Which alerts hold, on disk with the event that tells of each: a restart neither forgets one nor raises it again. */
export class AlertBook {
  readonly #database: Database
  readonly #report: (event: object) => void

  constructor(parts: { database: Database; report: (event: object) => void }) {
    this.#database = parts.database
    this.#report = parts.report
    transact(this.#database, () =>
      this.#database.exec(
        'CREATE TABLE IF NOT EXISTS alert (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT',
      ),
    )
  }

  load(): AlertStates {
    const rows = this.#database.prepare<[], { key: string; body: string }>('SELECT * FROM alert').all()
    return new Map(rows.map(({ key, body }) => [key, JSON.parse(body) as AlertState]))
  }

  /** What is on its way to be an alert is not worth a write: it is measured again. */
  save(states: AlertStates, changes: readonly AlertChange[]): void {
    if (changes.length === 0) return
    const put = this.#database.prepare('INSERT OR REPLACE INTO alert (key, body) VALUES (?, ?)')
    const remove = this.#database.prepare('DELETE FROM alert WHERE key = ?')
    transact(this.#database, () => {
      for (const change of changes) {
        const key = keyOf(change)
        const state = states.get(key)
        if (state?.severity === undefined) remove.run(key)
        else put.run(key, JSON.stringify(state))
        this.#report({ kind: 'alert', ...change })
      }
    })
  }
}
