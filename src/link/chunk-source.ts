/** What of one file is to be fetched. */
export interface ChunkRequest {
  /** SHA-256 of the file's chunk index. */
  readonly index: string
  /** Bytes of a chunk, as the index says: what a source gives has exactly so many. */
  readonly length: (chunk: number) => number
  /** Numbers of chunks, ascending, each once. */
  readonly wanted: readonly number[]
  readonly signal: AbortSignal
}

export interface FetchedChunk {
  readonly chunk: number
  /** Unpacked, but not verified: whoever keeps it compares its hash. Valid until the next one is asked for. */
  readonly bytes: Uint8Array
}

/** A way by which chunks come. Gives each wanted one once, in any order, or throws; what it gave before that counts. */
export interface ChunkSource {
  readonly name: string
  fetch(request: ChunkRequest): AsyncIterable<FetchedChunk>
}

/** Unpacks what came over the line; refuses what does not come to exactly `length` bytes. */
export type DecodeChunk = (
  stored: { readonly encoding: 'plain' | 'zstd'; readonly bytes: Uint8Array },
  length: number,
) => Uint8Array
