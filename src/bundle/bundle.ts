import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { messageOf } from '../kit/errors.ts'
import { sha256Of } from '../store/chunks/chunk-file.ts'
import { decodeChunkIndex } from '../store/chunks/chunk-index.ts'
import { OBJECT_BYTES_MAX, PACK_BYTES_MAX } from '../store/chunks/limits.ts'
import { decodePackTable } from '../store/chunks/pack.ts'
import { decodeChunk, type Encoding } from '../store/chunks/stored-chunk.ts'
import type { TrustSource } from '../trust/client.ts'
import { type BundleEntry, broken, FOOTER_BYTES, HEAD, readFooter, readIndex } from './format.ts'

/** What of one file is to be given. */
export interface WantedChunks {
  /** SHA-256 of the file's chunk index. */
  readonly index: string
  readonly length: (chunk: number) => number
  /** Numbers of chunks, ascending, each once. */
  readonly wanted: readonly number[]
  readonly signal: AbortSignal
}

export interface GivenChunk {
  readonly chunk: number
  readonly bytes: Uint8Array
}

/** Where a stored chunk lies in the file. */
interface Place {
  readonly offset: number
  readonly storedBytes: number
  readonly encoding: Encoding
}

const CHUNKS_MAX = 4_000_000

/**
 * A bundle that is whole: every entry was hashed when it was opened. It stands in for a registry: metadata and objects
 * are verified like those that come over a line, chunks too.
 */
export class Bundle implements TrustSource {
  readonly name = 'bundle'
  readonly #file: FileHandle
  readonly #entries: ReadonlyMap<string, BundleEntry>
  readonly #chunks: ReadonlyMap<string, Place>

  private constructor(
    file: FileHandle,
    parts: { entries: Map<string, BundleEntry>; chunks: Map<string, Place> },
  ) {
    this.#file = file
    this.#entries = parts.entries
    this.#chunks = parts.chunks
  }

  /** Refuses a file that is cut off, changed in any byte, or no bundle. */
  static async open(path: string): Promise<Bundle> {
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw broken(messageOf(cause), cause)
    })
    try {
      const entries = await readEntries(file)
      return new Bundle(file, {
        entries: new Map(entries.map((entry) => [entry.name, entry])),
        chunks: await hashEntries(file, entries),
      })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** Devices whose assignment is in it. */
  get devices(): string[] {
    const names = [...this.#entries.keys()].filter((name) => name.startsWith('assignments/'))
    return names.map((name) => name.slice('assignments/'.length))
  }

  fetchMetadata(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return this.#read(`metadata/${name}`, bytesMax)
  }

  fetchObject(sha256: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return this.#read(`objects/${sha256}`, bytesMax)
  }

  /** The envelope for this device, unverified. */
  fetchAssignment(device: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return this.#read(`assignments/${device}`, bytesMax)
  }

  /** Gives those of the wanted chunks that it holds, unpacked; whoever keeps them compares their hashes. */
  async *fetch(request: WantedChunks): AsyncGenerator<GivenChunk> {
    const index = await this.#read(`objects/${request.index}`, OBJECT_BYTES_MAX)
    if (index === undefined) return
    const chunks = decodeChunkIndex(index, {})
    for (const chunk of request.wanted) {
      request.signal.throwIfAborted()
      const place = chunk < chunks.count ? this.#chunks.get(chunks.sha256(chunk)) : undefined
      if (place === undefined) continue
      const bytes = await this.#unpack(place, request.length(chunk))
      // Media rot: what has gone wrong since the bundle was opened may still come over the line.
      if (bytes !== undefined && sha256Of(bytes) === chunks.sha256(chunk)) yield { chunk, bytes }
    }
  }

  /** Whether all chunks of a file are in it. */
  async holds({
    chunk_index,
    bytes,
  }: {
    readonly chunk_index: string
    readonly bytes: number
  }): Promise<boolean> {
    const index = await this.#read(`objects/${chunk_index}`, OBJECT_BYTES_MAX)
    if (index === undefined) return false
    const chunks = decodeChunkIndex(index, { fileBytes: bytes })
    const numbers = Array.from({ length: chunks.count }, (_, chunk) => chunk)
    return numbers.every((chunk) => this.#chunks.has(chunks.sha256(chunk)))
  }

  async #unpack(place: Place, length: number): Promise<Uint8Array | undefined> {
    const bytes = await readAt(this.#file, place.offset, place.storedBytes)
    try {
      return decodeChunk({ encoding: place.encoding, bytes }, length)
    } catch {
      return undefined
    }
  }

  async #read(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    if (entry.bytes > bytesMax) throw broken(`"${name}" has ${entry.bytes} bytes, at most ${bytesMax}`)
    return await readAt(this.#file, entry.offset, entry.bytes)
  }
}

async function readEntries(file: FileHandle): Promise<BundleEntry[]> {
  const { size } = await file.stat()
  if (size < HEAD.length + FOOTER_BYTES) throw broken(`it has ${size} bytes, too few`)
  if (!HEAD.equals(await readAt(file, 0, HEAD.length))) throw broken(`it does not begin with "${HEAD}"`)
  const { indexBytes, sha256 } = readFooter(await readAt(file, size - FOOTER_BYTES, FOOTER_BYTES), size)
  return readIndex(await readAt(file, size - FOOTER_BYTES - indexBytes, indexBytes), { sha256, size })
}

/** Reads the whole file once: each entry against its hash, and in packs where each chunk lies. */
async function hashEntries(file: FileHandle, entries: readonly BundleEntry[]): Promise<Map<string, Place>> {
  const chunks = new Map<string, Place>()
  for (const entry of entries) {
    const isPack = entry.name.startsWith('packs/')
    const bytesMax = isPack ? PACK_BYTES_MAX : OBJECT_BYTES_MAX
    if (entry.bytes > bytesMax) throw broken(`"${entry.name}" has ${entry.bytes} bytes, at most ${bytesMax}`)
    const bytes = await readAt(file, entry.offset, entry.bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (sha256 !== entry.sha256)
      throw broken(`"${entry.name}" hashes to ${sha256}, its index says ${entry.sha256}`)
    if (!isPack) continue
    for (const { sha256: name, offset, storedBytes, encoding } of decodePackTable(bytes)) {
      chunks.set(name, { offset: entry.offset + offset, storedBytes, encoding })
    }
    if (chunks.size > CHUNKS_MAX) throw broken(`it has more than ${CHUNKS_MAX} chunks`)
  }
  return chunks
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file
      .read(bytes, filled, length - filled, offset + filled)
      .catch((cause: unknown) => {
        throw broken(messageOf(cause), cause)
      })
    if (bytesRead === 0) throw broken(`it ends at ${offset + filled}, expected ${offset + length}`)
    filled += bytesRead
  }
  return bytes
}
