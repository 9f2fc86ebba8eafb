import { EdgeError } from '../kit/errors.ts'
import type { ChunkIndex } from '../store/chunks/chunk-index.ts'
import type { StoredChunk } from '../store/chunks/stored-chunk.ts'
import type { Objects } from './objects.ts'
import type { Packs } from './packs.ts'

/** Those of the few versions that a fleet is fetching. */
const INDEXES_MAX = 32

/** Stored chunks by their number in an index. */
export class ChunkReader {
  readonly #objects: Objects
  readonly #packs: Packs
  /** The ones asked for last come last. */
  readonly #indexes = new Map<string, ChunkIndex>()

  constructor(parts: { objects: Objects; packs: Packs }) {
    this.#objects = parts.objects
    this.#packs = parts.packs
  }

  /** Undefined: the registry does not have it. */
  async index(sha256: string): Promise<ChunkIndex | undefined> {
    const index = this.#indexes.get(sha256) ?? (await this.#objects.chunks(sha256).catch(missing))
    if (index === undefined) return undefined
    this.#indexes.delete(sha256)
    this.#indexes.set(sha256, index)
    const [oldest] = this.#indexes.keys()
    if (this.#indexes.size > INDEXES_MAX && oldest !== undefined) this.#indexes.delete(oldest)
    return index
  }

  async read(index: ChunkIndex, chunk: number): Promise<StoredChunk | undefined> {
    const place = chunk < index.count ? this.#packs.place(index.sha256(chunk)) : undefined
    if (place === undefined) return undefined
    const { offset, stored_bytes, pack, encoding } = place
    const bytes = await Bun.file(this.#packs.blobs.path(pack))
      .slice(offset, offset + stored_bytes)
      .bytes()
    if (bytes.byteLength === stored_bytes) return { encoding, bytes }
    throw new EdgeError(
      'storage_failed',
      `Cannot read the pack ${pack}: it ends before ${offset + stored_bytes}`,
    )
  }
}

function missing(error: unknown): undefined {
  if (error instanceof EdgeError && error.code === 'not_found') return undefined
  throw error
}
