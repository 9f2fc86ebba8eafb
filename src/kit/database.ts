import { createRequire } from 'node:module'
import Database from 'better-sqlite3'
import { EdgeError, messageOf } from './errors.ts'

const require = createRequire(import.meta.url)

/**
 * Opens a SQLite database; `path` may be ":memory:". The addon is given by path because the one inside the binary has
 * to be unpacked first. Durable by default: what a transaction has committed survives a power cut.
 */
export function openDatabase(options: { addonPath: string; path: string }): Database.Database {
  try {
    const addon: unknown = require(options.addonPath)
    const database = new Database(options.path, { nativeBinding: addon as string })
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    return database
  } catch (cause) {
    throw new EdgeError('storage_failed', `Cannot open the database "${options.path}": ${messageOf(cause)}`, {
      cause,
    })
  }
}
