import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { assert } from '../../kit/assert.ts'
import { encodeChunkIndex, type IndexedChunk } from './chunk-index.ts'
import { findCut } from './gear.ts'
import { CHUNK_BYTES_MAX } from './limits.ts'

/** A piece of a file. `bytes` is a view that holds until the next piece is asked for. */
export interface Chunk {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What a version says of one file. */
export interface FileSummary {
  readonly bytes: number
  readonly sha256: string
  readonly chunks: readonly IndexedChunk[]
  /** The chunk index as an object of its own. */
  readonly index: Uint8Array
}

const BUFFER_BYTES = 4 * 1024 * 1024

/** A file in chunks, in order and without gaps. `boundaries`, rising, are places where a chunk has to begin. */
export async function* chunkFile(path: string, boundaries: readonly number[] = []): AsyncGenerator<Chunk> {
  const file = await open(path, 'r')
  try {
    yield* chunkHandle(file, boundaries)
  } finally {
    await file.close()
  }
}

/** The same for what is in memory. */
export function* chunkBytes(bytes: Uint8Array, boundaries: readonly number[] = []): Generator<Chunk> {
  const limits = new Limits(boundaries)
  for (let from = 0; from < bytes.length; ) {
    const end = findCut(bytes, from, Math.min(bytes.length, limits.after(from)))
    yield { offset: from, bytes: bytes.subarray(from, end) }
    from = end
  }
}

/** Reads the file once: its size and hash, its chunks, its index. */
export async function summarizeFile(path: string, boundaries?: readonly number[]): Promise<FileSummary> {
  const whole = createHash('sha256')
  const chunks: IndexedChunk[] = []
  let bytes = 0
  for await (const chunk of chunkFile(path, boundaries)) {
    whole.update(chunk.bytes)
    chunks.push({ length: chunk.bytes.length, sha256: sha256Of(chunk.bytes) })
    bytes += chunk.bytes.length
  }
  return { bytes, sha256: whole.digest('hex'), chunks, index: encodeChunkIndex(chunks) }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function* chunkHandle(file: FileHandle, boundaries: readonly number[]): AsyncGenerator<Chunk> {
  const limits = new Limits(boundaries)
  const buffer = new Uint8Array(BUFFER_BYTES)
  let offset = 0
  let from = 0
  let filled = 0
  let isAtEnd = false
  for (;;) {
    // A cut is looked for only where all the bytes are there that a chunk may have.
    if (!isAtEnd && filled - from < CHUNK_BYTES_MAX) {
      buffer.copyWithin(0, from, filled)
      filled -= from
      from = 0
      const more = await fill(file, buffer.subarray(filled), offset + filled)
      filled += more
      isAtEnd = filled < buffer.length
    }
    if (from === filled) return
    const end = findCut(buffer, from, Math.min(filled, from + limits.after(offset) - offset))
    yield { offset, bytes: buffer.subarray(from, end) }
    offset += end - from
    from = end
  }
}

/** Reads until the buffer is full or the file at its end. */
async function fill(file: FileHandle, buffer: Uint8Array, at: number): Promise<number> {
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

/** How far a chunk may reach: the next boundary, or the most that a chunk has. Asked with rising offsets. */
class Limits {
  readonly #boundaries: readonly number[]
  #next = 0

  constructor(boundaries: readonly number[]) {
    assert(
      boundaries.every((at, index) => at > (boundaries[index - 1] ?? 0)),
      'boundaries rise, from 1 on',
    )
    this.#boundaries = boundaries
  }

  after(offset: number): number {
    while ((this.#boundaries[this.#next] ?? Number.POSITIVE_INFINITY) <= offset) this.#next += 1
    return Math.min(offset + CHUNK_BYTES_MAX, this.#boundaries[this.#next] ?? Number.POSITIVE_INFINITY)
  }
}
