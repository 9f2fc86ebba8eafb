import { Database as BunDatabase, type Statement as BunStatement, type SQLQueryBindings } from 'bun:sqlite'
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { crashPoint } from './crash-point.ts'
import { EdgeError, messageOf } from './errors.ts'

interface Changes {
  readonly changes: number
  readonly lastInsertRowid: number | bigint
}

/** Parameters are given one by one, or by name in one object. Of what is missing, `run` and the others say so. */
export interface Statement<Given extends unknown[] = unknown[], Row = unknown> {
  get(...given: Given): Row | undefined
  all(...given: Given): Row[]
  run(...given: Given): Changes
}

/** Another process may hold the database for so long before it is given up. */
const BUSY_MS_MAX = 5_000
/** Of one database, in KiB. */
const CACHE_KIB = 16_000
/** Of one database. Texts of SQL are written in the program, and few of them are put together from parts. */
const STATEMENTS_MAX = 512

/**
 * SQLite as Bun has it inside: an addon would be one more library to unpack, and asks for a newer glibc than the boards of
 * JetPack 5 have.
 */
export class Database {
  readonly #inner: BunDatabase
  readonly #kept = new Map<string, KeptStatement>()
  /** Made room, though somebody may still hold them. */
  readonly #passed: WeakRef<KeptStatement>[] = []

  constructor(inner: BunDatabase) {
    this.#inner = inner
  }

  /**
   * The same text gives the same statement. To prepare one costs more than to run it, and what is thrown away is memory of
   * SQLite's that the garbage collector does not see.
   */
  prepare<Given extends unknown[] = unknown[], Row = unknown>(sql: string): Statement<Given, Row> {
    let statement = this.#kept.get(sql)
    if (statement === undefined) {
      statement = new KeptStatement(this.#inner.prepare(sql))
      if (this.#kept.size >= STATEMENTS_MAX) this.#makeRoom()
      this.#kept.set(sql, statement)
    }
    return statement as unknown as Statement<Given, Row>
  }

  #makeRoom(): void {
    for (const statement of this.#kept.values()) this.#passed.push(new WeakRef(statement))
    this.#kept.clear()
  }

  /** One statement or several, without parameters. */
  exec(sql: string): void {
    this.#inner.run(sql)
  }

  /** Gives the first column of the first row. */
  pragma(text: string): unknown {
    const statement = this.#inner.prepare(`PRAGMA ${text}`)
    try {
      return statement.values()[0]?.[0]
    } finally {
      statement.finalize()
    }
  }

  get inTransaction(): boolean {
    return this.#inner.inTransaction
  }

  /** All of the work or none of it; within another one, by itself. */
  transaction<T>(work: () => T): T {
    return this.#inner.transaction(work).immediate()
  }

  /** Statements that are left open would keep the file open. */
  close(): void {
    for (const passed of this.#passed) passed.deref()?.close()
    for (const statement of this.#kept.values()) statement.close()
    this.#kept.clear()
    this.#inner.close()
  }
}

/** As Bun has it, but for a row that is not there: that is undefined here as everywhere. */
class KeptStatement implements Statement<SQLQueryBindings[]> {
  readonly #inner: BunStatement<unknown, SQLQueryBindings[]>

  constructor(inner: BunStatement<unknown, SQLQueryBindings[]>) {
    this.#inner = inner
  }

  get(...given: SQLQueryBindings[]): unknown {
    return this.#inner.get(...given) ?? undefined
  }

  all(...given: SQLQueryBindings[]): unknown[] {
    return this.#inner.all(...given)
  }

  run(...given: SQLQueryBindings[]): Changes {
    return this.#inner.run(...given)
  }

  close(): void {
    this.#inner.finalize()
  }
}

/** Opens a SQLite database; `path` may be ":memory:". Durable: what a transaction has committed survives a power cut. */
export function openDatabase(path: string): Database {
  try {
    const database = new Database(new BunDatabase(path, { create: true, readwrite: true, strict: true }))
    database.pragma(`busy_timeout = ${BUSY_MS_MAX}`)
    database.pragma(`cache_size = -${CACHE_KIB}`)
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    return database
  } catch (cause) {
    const what = `Cannot open the database "${path}": ${messageOf(cause)}`
    // SQLite calls it an I/O error when there is no room for the index of its log.
    if (isFull(path)) throw new EdgeError('storage_full', `${what}: the disk is full`, { cause })
    throw new EdgeError('storage_failed', what, { cause })
  }
}

/**
 * What a database file holds, as a copy in memory: nothing on the disk is touched, not even by SQLite's own files beside
 * it. What lies in its log only (`-wal`) is not seen.
 */
export function openSnapshot(bytes: Uint8Array): Database {
  const copy = Buffer.from(bytes)
  // File format, 1.3.2: 2 says "with a log", which memory has none of.
  if (copy.length >= 20) copy.fill(1, 18, 20)
  try {
    // A file without a byte is a database without a table; Bun takes it for a mistake.
    if (copy.length === 0) return new Database(new BunDatabase(':memory:', { strict: true }))
    return new Database(BunDatabase.deserialize(copy, { strict: true }))
  } catch (cause) {
    throw new EdgeError('storage_failed', `Cannot read the database: ${messageOf(cause)}`, { cause })
  }
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
    const found = database.pragma('quick_check(1)')
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
  if (database.inTransaction) return database.transaction(work)
  const result = database.transaction(() => {
    const done = work()
    crashPoint('database.written')
    return done
  })
  crashPoint('database.committed')
  return result
}
