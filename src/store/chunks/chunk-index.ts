import { EdgeError } from '../../kit/errors.ts'
import { CHUNK_BYTES_MAX, OBJECT_BYTES_MAX } from './limits.ts'

/**
 * The chunks of one file, in order:
 *
 *   "LCI1" | for each chunk: u24 length, big-endian | 32 bytes SHA-256 of the plain chunk
 *
 * It is an object addressed by its own hash, which a signed manifest names.
 */
const MAGIC = Buffer.from('LCI1')
const HASH_BYTES = 32
const ENTRY_BYTES = 3 + HASH_BYTES
const CHUNKS_MAX = Math.floor((OBJECT_BYTES_MAX - MAGIC.length) / ENTRY_BYTES)

export interface IndexedChunk {
  readonly length: number
  /** Of the plain chunk, lower-case hex. */
  readonly sha256: string
}

/** A chunk index that has been read: 40 bytes a chunk, whatever the file's size. */
export class ChunkIndex {
  readonly count: number
  /** What the chunks come to. */
  readonly fileBytes: number
  readonly #entries: Buffer
  readonly #offsets: Float64Array

  constructor(entries: Buffer) {
    this.#entries = entries
    this.count = entries.length / ENTRY_BYTES
    this.#offsets = new Float64Array(this.count)
    let offset = 0
    for (let chunk = 0; chunk < this.count; chunk++) {
      this.#offsets[chunk] = offset
      offset += this.length(chunk)
    }
    this.fileBytes = offset
  }

  length(chunk: number): number {
    return this.#entries.readUIntBE(chunk * ENTRY_BYTES, 3)
  }

  offset(chunk: number): number {
    return this.#offsets[chunk] ?? this.fileBytes
  }

  sha256(chunk: number): string {
    const at = chunk * ENTRY_BYTES + 3
    return this.#entries.toString('hex', at, at + HASH_BYTES)
  }
}

export function encodeChunkIndex(chunks: readonly IndexedChunk[]): Uint8Array {
  if (chunks.length > CHUNKS_MAX) {
    throw new EdgeError(
      'input_invalid',
      `Cannot list the chunks of a file: it has ${chunks.length}, at most ${CHUNKS_MAX}`,
    )
  }
  const bytes = Buffer.alloc(MAGIC.length + chunks.length * ENTRY_BYTES)
  MAGIC.copy(bytes)
  for (const [index, chunk] of chunks.entries()) {
    const at = MAGIC.length + index * ENTRY_BYTES
    bytes.writeUIntBE(chunk.length, at, 3)
    bytes.write(chunk.sha256, at + 3, 'hex')
  }
  return bytes
}

/** Refuses what does not describe a file of exactly `fileBytes`, which a manifest has said; without it, of any size. */
export function decodeChunkIndex(bytes: Uint8Array, { fileBytes }: { fileBytes?: number } = {}): ChunkIndex {
  const refuse = (what: string) => new EdgeError('input_invalid', `Cannot read a chunk index: ${what}`)
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.length > OBJECT_BYTES_MAX) throw refuse(`it has ${view.length} bytes, at most ${OBJECT_BYTES_MAX}`)
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) throw refuse(`it does not begin with "${MAGIC}"`)
  const entries = view.subarray(MAGIC.length)
  if (entries.length % ENTRY_BYTES !== 0) {
    throw refuse(`${entries.length} bytes of entries, expected a multiple of ${ENTRY_BYTES}`)
  }
  const index = new ChunkIndex(entries)
  for (let chunk = 0; chunk < index.count; chunk++) {
    const length = index.length(chunk)
    if (length >= 1 && length <= CHUNK_BYTES_MAX) continue
    throw refuse(`chunk ${chunk} has ${length} bytes, expected 1 to ${CHUNK_BYTES_MAX}`)
  }
  if (fileBytes !== undefined && index.fileBytes !== fileBytes) {
    throw refuse(`its chunks come to ${index.fileBytes} bytes, the file has ${fileBytes}`)
  }
  return index
}
