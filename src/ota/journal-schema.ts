import { assert } from '../kit/assert.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'

/**
 * Each entry brings a database from the version of its index to the next. Entries are never changed once shipped, only
 * added: a device may come from any of them, in the middle of an update.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE ota_assignment (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    rev INTEGER NOT NULL,
    body TEXT NOT NULL
  );
  CREATE TABLE ota_update (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    manifest TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    transitions INTEGER NOT NULL,
    boots INTEGER NOT NULL,
    began_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    assigned TEXT NOT NULL,
    previous TEXT
  );
  CREATE INDEX ota_update_model ON ota_update (model, id);
  CREATE TABLE ota_event (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
  CREATE TABLE ota_quarantine (
    manifest TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ms INTEGER NOT NULL
  );
  CREATE TABLE ota_good (model TEXT PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE ota_note (name TEXT PRIMARY KEY, body TEXT NOT NULL);
  `,
]

/** All missing steps or none: a power cut leaves the old version, which the next start brings forward again. */
export function migrate(database: Database, migrations: readonly string[] = MIGRATIONS): void {
  transact(database, () => {
    database.exec('CREATE TABLE IF NOT EXISTS ota_schema (version INTEGER NOT NULL)')
    const row = database.prepare<[], { version: number }>('SELECT version FROM ota_schema').get()
    const version = row?.version ?? 0
    if (version > migrations.length) {
      throw new EdgeError(
        'storage_failed',
        `Cannot use the update journal: its schema has version ${version}, this Limpet knows up to ${migrations.length}; ` +
          'install the newer Limpet again',
      )
    }
    for (const migration of migrations.slice(version)) database.exec(migration)
    if (row === undefined) database.prepare('INSERT INTO ota_schema VALUES (?)').run(migrations.length)
    else database.prepare('UPDATE ota_schema SET version = ?').run(migrations.length)
    assert(migrations.length > 0, 'there is a schema')
  })
}
