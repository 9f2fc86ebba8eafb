import { createHash } from 'node:crypto'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { type Database, damageOf, transact } from '../kit/database.ts'
import { makeFolderDurably, moveFileDurably, syncFolder, writeDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { LIVE } from './rollout.ts'
import { migrate } from './schema.ts'

/**
 * A registry in one file: a copy of its database, with its other files in a table of it. Keys are among them: the file is
 * worth as much as the registry. Packs are large and never change, and what devices have measured is large and nothing
 * that a registry needs: both come along only when asked for.
 */
const TABLES = `
  CREATE TABLE backup_about (format INTEGER NOT NULL, made INTEGER NOT NULL, has_packs INTEGER NOT NULL) STRICT;
  CREATE TABLE backup_file (path TEXT PRIMARY KEY, mode INTEGER NOT NULL, sha256 TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
`
const FORMAT = 1
const FILES_MAX = 1_000_000
const DATABASE = 'registry.sqlite'
const TIMESTAMP = 'tuf/timestamp.json'
const LEFT_OUT = /^(registry\.(sqlite|lock)(-wal|-shm|-journal)?$|uploads(\/|$))|(^|\/)\.[^/]*$/

export type Open = (path: string) => Database

export interface BackedUp {
  readonly files: number
  readonly bytes: number
}

export interface BackUpOptions {
  readonly open: Open
  readonly now: number
  readonly withPacks: boolean
  readonly withTelemetry: boolean
}

/**
 * Of a registry that may be running. The file is there when all of it is, or not at all. What the metadata names is in the
 * database and among the objects before the metadata names it: so the timestamp comes first, then the database, then
 * the files that it leads to, which never change.
 */
export async function backUp(folder: string, file: string, options: BackUpOptions): Promise<BackedUp> {
  const { open, now, withPacks } = options
  const draft = `${file}.part`
  await rm(draft, { force: true })
  const timestamp = await readEntry(folder, TIMESTAMP)
  copyDatabase(folder, draft, options)
  const copy = open(draft)
  try {
    copy.exec(TABLES)
    copy.prepare('INSERT INTO backup_about VALUES (?, ?, ?)').run(FORMAT, now, withPacks ? 1 : 0)
    if (timestamp !== undefined) putFile(copy, timestamp)
    for (const path of await listFiles(folder, withPacks)) {
      const entry = await readEntry(folder, path)
      // What was taken away meanwhile is old metadata that nobody needs.
      if (entry !== undefined) putFile(copy, entry)
    }
    // One file, without a log beside it.
    copy.pragma('journal_mode = DELETE')
  } finally {
    copy.close()
  }
  const { size } = await stat(draft)
  await moveFileDurably(draft, file)
  const made = openBackup(file, open)
  const { files } = made
    .prepare<[], { files: number }>('SELECT count(*) AS files FROM backup_file')
    .get() ?? { files: 0 }
  made.close()
  return { files, bytes: size }
}

function copyDatabase(folder: string, draft: string, { open, withTelemetry }: BackUpOptions): void {
  const source = open(join(folder, DATABASE))
  try {
    source.prepare('VACUUM INTO ?').run(draft)
  } finally {
    source.close()
  }
  if (withTelemetry) return
  const copy = open(draft)
  try {
    // What has been counted stays counted: a device may send again what the registry has had.
    copy.exec('DELETE FROM telemetry; VACUUM')
  } finally {
    copy.close()
  }
}

/** All but the timestamp, which is there already. */
async function listFiles(folder: string, withPacks: boolean): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  const kept = paths.filter(
    (path) => path !== TIMESTAMP && !LEFT_OUT.test(path) && (withPacks || !path.startsWith('packs/')),
  )
  if (kept.length > FILES_MAX)
    throw new EdgeError(
      'storage_failed',
      `Cannot back up "${folder}": ${kept.length} files, at most ${FILES_MAX}`,
    )
  return kept.sort()
}

interface Entry {
  readonly path: string
  readonly mode: number
  readonly bytes: Uint8Array
}

/** Undefined where it has gone. */
async function readEntry(folder: string, path: string): Promise<Entry | undefined> {
  const at = join(folder, path)
  try {
    const bytes = await readFile(at)
    return { path, mode: (await stat(at)).mode & 0o777, bytes }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function putFile(copy: Database, { path, mode, bytes }: Entry): void {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  transact(copy, () =>
    copy.prepare('INSERT INTO backup_file VALUES (?, ?, ?, ?)').run(path, mode, sha256, bytes),
  )
}

export function openBackup(file: string, open: Open): Database {
  const database = open(file)
  const damage = damageOf(database)
  const hasTable = () =>
    database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'backup_about'").get() !== undefined
  if (damage !== undefined || !hasTable()) {
    database.close()
    throw new EdgeError(
      'input_invalid',
      `Cannot use "${file}": it is no whole backup of a registry${damage === undefined ? '' : `: ${damage}`}`,
    )
  }
  const about = database.prepare<[], { format: number }>('SELECT format FROM backup_about').get()
  if (about?.format === FORMAT) return database
  database.close()
  throw new EdgeError(
    'input_invalid',
    `Cannot use "${file}": its format is ${about?.format}, this program knows ${FORMAT}`,
  )
}

export interface Restored {
  /** When the backup was made, milliseconds since 1970. */
  readonly made: number
  readonly files: number
  /** Rollouts that were under way then, and wait for a person now. */
  readonly paused: readonly string[]
}

/** Into a folder that is empty, or not there. What was in the middle then is not gone on with unasked. */
export async function restore(
  file: string,
  folder: string,
  { open, now }: { open: Open; now: number },
): Promise<Restored> {
  await makeFolderDurably(folder, 0o700)
  const backup = openBackup(file, open)
  try {
    const files = await writeFiles(backup, folder)
    backup.prepare('VACUUM INTO ?').run(join(folder, DATABASE))
    const { made } = backup.prepare<[], { made: number }>('SELECT made FROM backup_about').get() ?? {
      made: 0,
    }
    const paused = settle(open(join(folder, DATABASE)), { made, now })
    await syncFolder(folder)
    return { made, files, paused }
  } finally {
    backup.close()
  }
}

async function writeFiles(backup: Database, folder: string): Promise<number> {
  const paths = backup.prepare<[], { path: string }>('SELECT path FROM backup_file ORDER BY path').all()
  const read = backup.prepare<[string], { mode: number; sha256: string; bytes: Uint8Array }>(
    'SELECT mode, sha256, bytes FROM backup_file WHERE path = ?',
  )
  for (const { path } of paths) {
    if (path.startsWith('/') || path.split('/').includes('..'))
      throw new EdgeError('input_invalid', `Cannot restore "${path}": it lies outside the registry's folder`)
    const { mode, sha256, bytes } = read.get(path) ?? { mode: 0o600, sha256: '', bytes: new Uint8Array(0) }
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw new EdgeError('input_invalid', `Cannot restore "${path}": its content is not what was backed up`)
    await makeFolderDurably(dirname(join(folder, path)), 0o700)
    await writeDurably(join(folder, path), bytes, mode)
  }
  return paths.length
}

/** Devices have gone on since: whatever was being done with them, a person has to look first. */
function settle(database: Database, { made, now }: { made: number; now: number }): string[] {
  const live = LIVE.filter((state) => state !== 'paused')
    .map((state) => `'${state}'`)
    .join(', ')
  const reason = `restored from a backup of ${new Date(made).toISOString()}: what has happened since is not known`
  try {
    return transact(database, () => {
      database.exec('DROP TABLE backup_file; DROP TABLE backup_about')
      migrate(database)
      const rows = database
        .prepare<[], { id: string; state: string; wave: number }>(
          `SELECT id, state, wave FROM rollout WHERE state IN (${live})`,
        )
        .all()
      for (const { id, state, wave } of rows) {
        database
          .prepare("UPDATE rollout SET state = 'paused', paused_in = ?, since = ? WHERE id = ?")
          .run(state, now, id)
        database
          .prepare(
            "INSERT INTO rollout_transition (rollout, at, from_state, to_state, wave, by, reason) VALUES (?, ?, ?, 'paused', ?, NULL, ?)",
          )
          .run(id, now, state, wave, reason)
      }
      return rows.map(({ id }) => id)
    })
  } finally {
    database.close()
  }
}

/** Packs that the database names and the folder lacks. */
export async function missingPacks(folder: string, open: Open): Promise<string[]> {
  const database = open(join(folder, DATABASE))
  try {
    const packs = database.prepare<[], { sha256: string }>('SELECT sha256 FROM pack ORDER BY sha256').all()
    const there = new Set(await readdir(join(folder, 'packs')).catch(() => []))
    return packs.map(({ sha256 }) => sha256).filter((sha256) => !there.has(sha256))
  } finally {
    database.close()
  }
}
