import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Database, type Statement, transact } from '../kit/database.ts'
import { logger } from '../kit/log.ts'
import type { Assembly } from './assembly.ts'
import type { ChunkIndex } from './chunks/chunk-index.ts'
import { readPiece } from './file-hash.ts'

/** A place where a chunk was seen: in a file of an installed version. */
interface Place {
  readonly file: number
  readonly path: string
  readonly offset: number
  readonly length: number
}

/** What came from the disk instead of over the line. */
export interface Seeded {
  readonly bytes: number
  /** Files in which something was not what it should be: they have rotted. */
  readonly rotten: readonly string[]
}

/**
 * The files are the store: which chunk lies where in the installed versions. A hint and no more: what is found is hashed
 * before it is used, and where it is wrong or gone the chunk is fetched.
 */
export class Seeds {
  readonly #database: Database
  readonly #root: string
  readonly #places: Statement<[Buffer], Place>

  /** `root` is the folder that all paths are below. */
  constructor(options: { database: Database; root: string }) {
    this.#database = options.database
    this.#root = options.root
    options.database.exec(`
      CREATE TABLE IF NOT EXISTS store_seed_file (id INTEGER PRIMARY KEY, folder TEXT NOT NULL, path TEXT NOT NULL UNIQUE);
      CREATE INDEX IF NOT EXISTS store_seed_folder ON store_seed_file (folder);
      CREATE TABLE IF NOT EXISTS store_seed (
        sha256 BLOB NOT NULL,
        file INTEGER NOT NULL REFERENCES store_seed_file (id) ON DELETE CASCADE,
        offset INTEGER NOT NULL,
        length INTEGER NOT NULL,
        PRIMARY KEY (sha256, file, offset)
      ) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS store_seed_of_file ON store_seed (file);
    `)
    this.#places = options.database.prepare(
      'SELECT file, path, offset, length FROM store_seed JOIN store_seed_file ON id = file WHERE sha256 = ?',
    )
  }

  /** The files of a folder, all at once; again, and nothing changes. */
  add(folder: string, files: ReadonlyMap<string, ChunkIndex>): void {
    const addFile = this.#database.prepare<[string, string]>(
      'INSERT INTO store_seed_file (folder, path) VALUES (?, ?)',
    )
    const addChunk = this.#database.prepare<[Buffer, number | bigint, number, number]>(
      'INSERT INTO store_seed VALUES (?, ?, ?, ?)',
    )
    transact(this.#database, () => {
      this.#remove(folder)
      for (const [path, index] of files) {
        const { lastInsertRowid } = addFile.run(folder, join(folder, path))
        for (let chunk = 0; chunk < index.count; chunk++) {
          const sha256 = Buffer.from(index.sha256(chunk), 'hex')
          addChunk.run(sha256, lastInsertRowid, index.offset(chunk), index.length(chunk))
        }
      }
    })
  }

  forget(folder: string): void {
    transact(this.#database, () => this.#remove(folder))
  }

  /** The folders that chunks are known of. */
  folders(): string[] {
    return this.#database
      .prepare<[], { folder: string }>('SELECT DISTINCT folder FROM store_seed_file ORDER BY folder')
      .all()
      .map(({ folder }) => folder)
  }

  /** Gives an assembly everything that it lacks and that lies on this disk. */
  async fill(assembly: Assembly, signal?: AbortSignal): Promise<Seeded> {
    const files = new OpenFiles(this.#root)
    const rotten = new Set<string>()
    let bytes = 0
    try {
      for (const chunk of assembly.missing()) {
        signal?.throwIfAborted()
        for (const place of this.#places.all(Buffer.from(assembly.index.sha256(chunk), 'hex'))) {
          const found = await files.read(place)
          const result = found === undefined ? 'wrong' : await assembly.write(chunk, found)
          if (result !== 'wrong') {
            bytes += place.length
            break
          }
          rotten.add(place.path)
          this.#forgetPlace(place)
        }
      }
      if (rotten.size > 0) logger('store').warn('store.seeds_rotten', { paths: [...rotten] })
      return { bytes, rotten: [...rotten].sort() }
    } finally {
      await files.close()
    }
  }

  #forgetPlace({ file, offset }: Place): void {
    transact(this.#database, () =>
      this.#database.prepare('DELETE FROM store_seed WHERE file = ? AND offset = ?').run(file, offset),
    )
  }

  #remove(folder: string): void {
    this.#database.prepare('DELETE FROM store_seed_file WHERE folder = ?').run(folder)
  }
}

const OPEN_MAX = 16

/** Files that were read from lately, open. */
class OpenFiles {
  readonly #root: string
  readonly #open = new Map<string, FileHandle>()

  constructor(root: string) {
    this.#root = root
  }

  /** Undefined where the file is gone, unreadable or shorter. */
  async read(place: Place): Promise<Uint8Array | undefined> {
    try {
      return await readPiece(await this.#handle(place.path), place)
    } catch {
      return undefined
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((file) => file.close()))
    this.#open.clear()
  }

  async #handle(path: string): Promise<FileHandle> {
    const known = this.#open.get(path)
    if (known !== undefined) return known
    if (this.#open.size >= OPEN_MAX) await this.close()
    const file = await open(join(this.#root, path), 'r')
    this.#open.set(path, file)
    return file
  }
}
