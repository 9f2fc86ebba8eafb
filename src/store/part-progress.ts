import { type Database, transact } from '../kit/database.ts'

/** Of one file of a version that is on its way. */
export interface PartKey {
  /** SHA-256 of the manifest. */
  readonly manifest: string
  readonly path: string
  /** SHA-256 of the chunk index, without which a bit means nothing. */
  readonly chunkIndex: string
}

/** Which chunks of a file are on disk for certain. What stands here has been synced before. */
export class PartProgress {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
    database.exec(`CREATE TABLE IF NOT EXISTS store_part (
      manifest TEXT NOT NULL,
      path TEXT NOT NULL,
      chunk_index TEXT NOT NULL,
      done BLOB NOT NULL,
      PRIMARY KEY (manifest, path)
    ) WITHOUT ROWID`)
  }

  read({ manifest, path, chunkIndex }: PartKey): Uint8Array | undefined {
    return this.#database
      .prepare<[string, string, string], { done: Uint8Array }>(
        'SELECT done FROM store_part WHERE manifest = ? AND path = ? AND chunk_index = ?',
      )
      .get(manifest, path, chunkIndex)?.done
  }

  write({ manifest, path, chunkIndex }: PartKey, done: Uint8Array): void {
    transact(this.#database, () =>
      this.#database
        .prepare('INSERT OR REPLACE INTO store_part (manifest, path, chunk_index, done) VALUES (?, ?, ?, ?)')
        .run(manifest, path, chunkIndex, done),
    )
  }

  forget({ manifest, path }: Pick<PartKey, 'manifest' | 'path'>): void {
    transact(this.#database, () =>
      this.#database.prepare('DELETE FROM store_part WHERE manifest = ? AND path = ?').run(manifest, path),
    )
  }

  /** Of all files of the version. */
  forgetAll(manifest: string): void {
    transact(this.#database, () =>
      this.#database.prepare('DELETE FROM store_part WHERE manifest = ?').run(manifest),
    )
  }
}
