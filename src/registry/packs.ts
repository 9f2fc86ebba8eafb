import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { PACK_BYTES_MAX } from '../store/chunks/limits.ts'
import { type PackEntry, readPackTable } from '../store/chunks/pack.ts'
import { decodeChunk, type Encoding } from '../store/chunks/stored-chunk.ts'
import { type Blob, Blobs } from './blobs.ts'

/** Where the stored form of a chunk lies. A hint: whoever fetches it checks the chunk's hash. */
export interface Place {
  readonly sha256: string
  readonly pack: string
  readonly offset: number
  readonly stored_bytes: number
  readonly encoding: Encoding
}

const LOG = logger('registry')

/** Packs on disk, and in the database where each chunk lies in them. */
export class Packs {
  readonly blobs: Blobs
  readonly #database: Database
  readonly #clock: Clock

  private constructor(parts: { blobs: Blobs; database: Database; clock: Clock }) {
    this.blobs = parts.blobs
    this.#database = parts.database
    this.#clock = parts.clock
  }

  static async open(folder: string, parts: { database: Database; clock: Clock }): Promise<Packs> {
    const blobs = await Blobs.open(folder, { what: 'pack', bytesMax: PACK_BYTES_MAX })
    const packs = new Packs({ ...parts, blobs })
    await packs.#enterUnknown()
    return packs
  }

  /** Packs that lie here and that the database does not know, because it is older than they are: looked at like new ones. */
  async #enterUnknown(): Promise<void> {
    const isKnown = this.#database.prepare('SELECT 1 FROM pack WHERE sha256 = ?')
    for (const sha256 of await this.blobs.list()) {
      if (isKnown.get(sha256) !== undefined) continue
      const path = this.blobs.path(sha256)
      try {
        const table = await readPackTable(path)
        await verify(path, table)
        this.#enter(await this.blobs.find(sha256), table)
        LOG.info('registry.pack_found', { pack: sha256, chunks: table.length })
      } catch (error) {
        LOG.warn('registry.pack_damaged', { pack: sha256, reason: messageOf(error) })
      }
    }
  }

  /**
   * Takes a pack in. Every chunk in it is decoded and hashed first: the next publisher will not send a chunk that is said
   * to be here, so what is said has to be true.
   */
  async put(pieces: AsyncIterable<Uint8Array>): Promise<Blob & { readonly chunks: number }> {
    let table: readonly PackEntry[] = []
    const blob = await this.blobs.put(pieces, {
      check: async (draft) => {
        table = await readPackTable(draft)
        await verify(draft, table)
      },
    })
    this.#enter(blob, table)
    return { ...blob, chunks: table.length }
  }

  /** The file is there before the database names it: after a power cut in between it is only taken in again. */
  #enter(blob: Blob, table: readonly PackEntry[]): void {
    const insert = this.#database.prepare(
      `INSERT INTO chunk (sha256, pack, offset, stored_bytes, encoding) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    )
    transact(this.#database, () => {
      this.#database
        .prepare('INSERT INTO pack (sha256, bytes, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
        .run(blob.sha256, blob.bytes, this.#clock.now())
      for (const entry of table) {
        insert.run(entry.sha256, blob.sha256, entry.offset, entry.storedBytes, entry.encoding)
      }
    })
  }

  place(sha256: string): Place | undefined {
    return this.#database.prepare<[string], Place>('SELECT * FROM chunk WHERE sha256 = ?').get(sha256)
  }

  missing(sha256s: readonly string[]): string[] {
    return [...new Set(sha256s)].filter((sha256) => this.place(sha256) === undefined)
  }
}

async function verify(path: string, table: readonly PackEntry[]): Promise<void> {
  const file = await open(path)
  try {
    // Each read gives the event loop a turn: a pack is a quarter of a second of hashing.
    for (const entry of table) {
      const stored = new Uint8Array(entry.storedBytes)
      const { bytesRead } = await file.read(stored, 0, entry.storedBytes, entry.offset)
      const chunk = decodeChunk(
        { encoding: entry.encoding, bytes: stored.subarray(0, bytesRead) },
        entry.length,
      )
      const sha256 = createHash('sha256').update(chunk).digest('hex')
      if (sha256 !== entry.sha256)
        throw refuse(`the chunk at ${entry.offset} has SHA-256 ${sha256}, its table says ${entry.sha256}`)
    }
  } finally {
    await file.close()
  }
}

function refuse(what: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot take the pack: ${what}`)
}
