import { statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { crashPoint } from './crash-point.ts'
import { EdgeError, messageOf } from './errors.ts'

const require = createRequire(import.meta.url)

export type Database = BetterSqlite.Database
export type Statement<Given extends unknown[], Row> = BetterSqlite.Statement<Given, Row>

/**
 * Opens a SQLite database; `path` may be ":memory:". The addon is given by path because the one inside the binary has
 * to be unpacked first. Durable by default: what a transaction has committed survives a power cut.
 */
export function openDatabase(options: { addonPath: string; path: string }): Database {
  try {
    const addon: unknown = require(options.addonPath)
    const database = new BetterSqlite(options.path, { nativeBinding: addon as string })
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    return keepStatements(database)
  } catch (cause) {
    const what = `Cannot open the database "${options.path}": ${messageOf(cause)}`
    // SQLite calls it an I/O error when there is no room for the index of its log.
    if (isFull(options.path)) throw new EdgeError('storage_full', `${what}: the disk is full`, { cause })
    throw new EdgeError('storage_failed', what, { cause })
  }
}

/** Of one database. Texts of SQL are written in the program, and few of them are put together from parts. */
const STATEMENTS_MAX = 512

/**
 * The same text gives the same statement. To prepare one costs more than to run it, and what is thrown away is memory of
 * SQLite's that the garbage collector does not see. So a statement must not be altered after `prepare` by one of its users
 * alone (`pluck`), nor be stepped through (`iterate`) while somebody else may run it.
 */
function keepStatements(database: Database): Database {
  const prepare = database.prepare.bind(database)
  const kept = new Map<string, BetterSqlite.Statement>()
  const prepareOnce = (sql: string): BetterSqlite.Statement => {
    const known = kept.get(sql)
    if (known !== undefined) return known
    const statement = prepare(sql)
    if (kept.size >= STATEMENTS_MAX) kept.clear()
    kept.set(sql, statement)
    return statement
  }
  return Object.assign(database, { prepare: prepareOnce })
}

/**
 * What a database file holds, as a copy in memory: nothing on the disk is touched, not even by SQLite's own files beside
 * it. What lies in its log only (`-wal`) is not seen.
 */
export function openSnapshot(options: { addonPath: string; bytes: Uint8Array }): Database {
  const copy = Buffer.from(options.bytes)
  // File format, 1.3.2: 2 says "with a log", which memory has none of.
  if (copy.length >= 20) copy.fill(1, 18, 20)
  try {
    return new BetterSqlite(copy, { nativeBinding: loadAddon(options.addonPath) as string })
  } catch (cause) {
    throw new EdgeError('storage_failed', `Cannot read the database: ${messageOf(cause)}`, { cause })
  }
}

/** By its path, whatever it is called: `require` goes by the name. */
function loadAddon(path: string): unknown {
  const addon = { exports: {} as unknown }
  process.dlopen(addon, path)
  return addon.exports
}

const ROOM_BYTES_MIN = 64 * 1024

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < ROOM_BYTES_MIN
  } catch {
    return false
  }
}

/** For as long as the database is open nobody else may hold it; false where somebody does. Ends with the process. */
export function holdDatabase(database: Database): boolean {
  try {
    database.exec('BEGIN IMMEDIATE')
    return true
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return false
    throw error
  }
}

/** What SQLite finds wrong with the whole file; undefined where it is sound. */
export function damageOf(database: Database): string | undefined {
  try {
    const found = database.pragma('quick_check(1)', { simple: true })
    return found === 'ok' ? undefined : String(found)
  } catch (error) {
    if (isDamage(error)) return messageOf(error)
    throw error
  }
}

/** Whether it says that the file is no sound database, and not that it cannot be read or written just now. */
export function isDamage(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  if (typeof code === 'string' && /^SQLITE_(CORRUPT|NOTADB)/.test(code)) return true
  return cause instanceof Error && isDamage(cause)
}

/**
 * All of the work or none of it; on disk when this returns. Every write to a database goes through here, so that each
 * is a crash point. One within another is all or nothing by itself, and on disk with the outer one.
 */
export function transact<T>(database: Database, work: () => T): T {
  if (database.inTransaction) return database.transaction(work)()
  const result = database
    .transaction(() => {
      const done = work()
      crashPoint('database.written')
      return done
    })
    .immediate()
  crashPoint('database.committed')
  return result
}
