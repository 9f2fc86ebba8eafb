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
 * worth as much as the registry. Packs are large and never change, so they come along only when asked for.
 */
const TABLES = `
  CREATE TABLE backup_about (format INTEGER NOT NULL, made INTEGER NOT NULL, has_packs INTEGER NOT NULL) STRICT;
  CREATE TABLE backup_file (path TEXT PRIMARY KEY, mode INTEGER NOT NULL, sha256 TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
`
const FORMAT = 1
const FILES_MAX = 1_000_000
const DATABASE = 'registry.sqlite'
const LEFT_OUT = /^(registry\.(sqlite|lock)(-wal|-shm|-journal)?$|uploads(\/|$))|(^|\/)\.[^/]*$/

export type Open = (path: string) => Database

export interface BackedUp {
  readonly files: number
  readonly bytes: number
}

/** Of a registry that may be running. The file is there when all of it is, or not at all. */
export async function backUp(
  folder: string,
  file: string,
  { open, now, withPacks }: { open: Open; now: number; withPacks: boolean },
): Promise<BackedUp> {
  const draft = `${file}.part`
  await rm(draft, { force: true })
  const source = open(join(folder, DATABASE))
  try {
    source.prepare('VACUUM INTO ?').run(draft)
  } finally {
    source.close()
  }
  const copy = open(draft)
  try {
    copy.exec(TABLES)
    copy.prepare('INSERT INTO backup_about VALUES (?, ?, ?)').run(FORMAT, now, withPacks ? 1 : 0)
    for (const path of await listFiles(folder, withPacks)) await putFile(copy, { folder, path })
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

/** The timestamp comes first: what it leads to is not older than it, whatever is published meanwhile. */
async function listFiles(folder: string, withPacks: boolean): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  const first = 'tuf/timestamp.json'
  const kept = paths.filter((path) => !LEFT_OUT.test(path) && (withPacks || !path.startsWith('packs/')))
  if (kept.length > FILES_MAX)
    throw new EdgeError(
      'storage_failed',
      `Cannot back up "${folder}": ${kept.length} files, at most ${FILES_MAX}`,
    )
  return [...kept.filter((path) => path === first), ...kept.filter((path) => path !== first).sort()]
}

/** What was taken away meanwhile is old metadata that nobody needs. */
async function putFile(copy: Database, { folder, path }: { folder: string; path: string }): Promise<void> {
  const at = join(folder, path)
  const bytes = await readFile(at).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (bytes === undefined) return
  const { mode } = await stat(at)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  transact(copy, () =>
    copy.prepare('INSERT INTO backup_file VALUES (?, ?, ?, ?)').run(path, mode & 0o777, sha256, bytes),
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
