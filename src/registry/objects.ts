import { EdgeError } from '../kit/errors.ts'
import { type ChunkIndex, decodeChunkIndex } from '../store/chunks/chunk-index.ts'
import { OBJECT_BYTES_MAX } from '../store/chunks/limits.ts'
import { type Blob, Blobs } from './blobs.ts'
import type { Packs, Place } from './packs.ts'

/** Small things by their hash: manifests, chunk indexes. */
export class Objects {
  readonly blobs: Blobs
  readonly #packs: Packs

  private constructor(parts: { blobs: Blobs; packs: Packs }) {
    this.blobs = parts.blobs
    this.#packs = parts.packs
  }

  static async open(folder: string, parts: { packs: Packs }): Promise<Objects> {
    const blobs = await Blobs.open(folder, { what: 'object', bytesMax: OBJECT_BYTES_MAX })
    return new Objects({ ...parts, blobs })
  }

  async put(sha256: string, pieces: AsyncIterable<Uint8Array>): Promise<Blob> {
    return await this.blobs.put(pieces, { expected: sha256 })
  }

  /** Undefined: there is none. */
  async read(sha256: string): Promise<Uint8Array | undefined> {
    return await this.blobs.read(sha256).catch((error: unknown) => {
      if (error instanceof EdgeError && error.code === 'not_found') return undefined
      throw error
    })
  }

  /** The chunks that an index names, in order. */
  async chunks(index: string): Promise<ChunkIndex> {
    return decodeChunkIndex(await this.blobs.read(index))
  }

  /** Where the chunks of an index lie, in order; null for one that is not here. */
  async places(index: string): Promise<(Place | null)[]> {
    const chunks = await this.chunks(index)
    return Array.from({ length: chunks.count }, (_, chunk) => this.#packs.place(chunks.sha256(chunk)) ?? null)
  }
}
