import { type FileHandle, open } from 'node:fs/promises'
import { assert } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { crashPoint } from '../kit/crash-point.ts'
import { createDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { Bitmap } from './bitmap.ts'
import { sha256Of } from './chunks/chunk-file.ts'
import type { ChunkIndex } from './chunks/chunk-index.ts'
import { hashHandle, readPiece } from './file-hash.ts'
import type { PartKey, PartProgress } from './part-progress.ts'
import { storageError } from './storage-error.ts'
import { Twins } from './twins.ts'

/** A kill costs at most what has come since the last commit: so many bytes, or so long. */
const UNCOMMITTED_BYTES_MAX = 4 * 1024 * 1024
const UNCOMMITTED_MS_MAX = 2_000
/** A place nobody has written to reads as zeros; so much of it is looked at. */
const PROBE_BYTES = 32

export interface AssemblyOptions {
  readonly progress: PartProgress
  readonly clock: Clock
  readonly key: PartKey
  /** Where the file grows. Its folder is there. */
  readonly path: string
  readonly index: ChunkIndex
  /** Of the whole file. */
  readonly sha256: string
}

/**
 * One file being put together from chunks that come in any order, from anywhere, more than once, or wrong. What it has
 * committed outlives a kill and a power cut; `finish` says whether the whole is what was promised.
 */
export class Assembly {
  readonly index: ChunkIndex
  readonly path: string
  readonly #options: AssemblyOptions
  readonly #file: FileHandle
  readonly #twins: Twins
  /** On disk for certain. */
  readonly #committed: Bitmap
  /** Written, but a power cut would lose it. */
  readonly #written = new Set<number>()
  #doneBytes = 0
  #uncommittedBytes = 0
  #committedMs: number
  #commits: Promise<void> = Promise.resolve()

  private constructor(options: AssemblyOptions, file: FileHandle, committed: Bitmap) {
    this.index = options.index
    this.path = options.path
    this.#options = options
    this.#file = file
    this.#twins = new Twins(options.index)
    this.#committed = committed
    this.#committedMs = options.clock.elapsed()
    for (let chunk = 0; chunk < this.index.count; chunk++) {
      if (committed.has(chunk)) this.#doneBytes += this.index.length(chunk)
    }
  }

  /** Goes on where the last process was, whatever ended it. */
  static async open(options: AssemblyOptions): Promise<Assembly> {
    const { progress, key, path, index } = options
    let file: FileHandle | undefined
    try {
      const found = await openSized(path, index.fileBytes)
      file = found
      // Before there is a file: a row of one that was lost must never vouch for the next.
      if (found === undefined) progress.forget(key)
      file ??= await createDurably(path, index.fileBytes)
      const assembly = new Assembly(options, file, new Bitmap(index.count, progress.read(key)))
      if (found !== undefined) await assembly.#adopt()
      return assembly
    } catch (cause) {
      await file?.close()
      throw storageError(`open the part "${path}"`, cause)
    }
  }

  /** SHA-256 of its chunk index: what it is asked for by. */
  get chunkIndex(): string {
    return this.#options.key.chunkIndex
  }

  get doneBytes(): number {
    return this.#doneBytes
  }

  has(chunk: number): boolean {
    return this.#committed.has(chunk) || this.#written.has(chunk)
  }

  /** What has still to come, ascending; of chunks with the same content only the first. */
  missing(): number[] {
    const missing = new Set<number>()
    for (let chunk = 0; chunk < this.index.count; chunk++) {
      if (!this.has(chunk)) missing.add(this.#twins.firstOf(chunk))
    }
    return [...missing].sort((one, other) => one - other)
  }

  /** "wrong": not the bytes that the index names, and nothing was written. "known": they were there already. */
  async write(chunk: number, bytes: Uint8Array): Promise<'written' | 'known' | 'wrong'> {
    const isChunk = Number.isInteger(chunk) && chunk >= 0 && chunk < this.index.count
    if (!isChunk || bytes.length !== this.index.length(chunk)) return 'wrong'
    const places = this.#twins.allOf(chunk).filter((twin) => !this.has(twin))
    if (places.length === 0) return 'known'
    if (sha256Of(bytes) !== this.index.sha256(chunk)) return 'wrong'
    for (const place of places) {
      await this.#put(this.index.offset(place), bytes)
      this.#mark(place)
    }
    const sinceMs = this.#options.clock.elapsed() - this.#committedMs
    if (this.#uncommittedBytes >= UNCOMMITTED_BYTES_MAX || sinceMs >= UNCOMMITTED_MS_MAX) await this.commit()
    return 'written'
  }

  /** After this, what has been written is there after a power cut. One at a time; each takes what is there when it begins. */
  async commit(): Promise<void> {
    const commit = this.#commits.then(() => this.#commit())
    this.#commits = commit.catch(() => undefined)
    await commit
  }

  /**
   * Hashes the whole file, as it will be served. Answers 0 when it is what was promised, else how many chunks were wrong:
   * they are missing again. Every chunk has to be there.
   */
  async finish(signal?: AbortSignal): Promise<number> {
    assert(this.missing().length === 0, 'a file is finished when all its chunks are there')
    await this.commit()
    const sha256 = await hashHandle(this.#file, signal)
    if (sha256 === this.#options.sha256) {
      await this.#file.sync().catch((cause) => {
        throw storageError(`sync "${this.path}"`, cause)
      })
      return 0
    }
    const dropped = await this.#dropWrong(signal)
    if (dropped > 0) return dropped
    throw new EdgeError(
      'model_invalid',
      `Cannot finish "${this.#options.key.path}": each chunk is what its index says, and together they hash to ` +
        `${sha256}, the manifest says ${this.#options.sha256}`,
    )
  }

  /** Commits what it can. */
  async close(): Promise<void> {
    try {
      await this.commit()
    } finally {
      await this.#file.close()
    }
  }

  async #put(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, offset + done)
        done += bytesWritten
      }
    } catch (cause) {
      throw storageError(`write ${bytes.length} bytes of "${this.path}"`, cause)
    }
  }

  #mark(chunk: number): void {
    if (this.has(chunk)) return
    this.#written.add(chunk)
    this.#doneBytes += this.index.length(chunk)
    this.#uncommittedBytes += this.index.length(chunk)
  }

  #unmark(chunk: number): void {
    this.#written.delete(chunk)
    this.#committed.remove(chunk)
    this.#doneBytes -= this.index.length(chunk)
  }

  async #commit(): Promise<void> {
    const batch = [...this.#written]
    this.#committedMs = this.#options.clock.elapsed()
    if (batch.length === 0) return
    this.#uncommittedBytes = 0
    try {
      await this.#file.datasync()
    } catch (cause) {
      // After a failed sync the kernel may have dropped the pages, and the next sync may say that all is well.
      for (const chunk of batch) this.#unmark(chunk)
      throw storageError(`sync "${this.path}"`, cause)
    }
    crashPoint('assembly.synced')
    try {
      for (const chunk of batch) this.#committed.add(chunk)
      this.#options.progress.write(this.#options.key, this.#committed.bytes)
      for (const chunk of batch) this.#written.delete(chunk)
    } catch (cause) {
      for (const chunk of batch) this.#committed.remove(chunk)
      throw storageError(`note the progress of "${this.path}"`, cause)
    }
  }

  /** Takes up what was written but not committed: every place that is not all zeros is hashed. */
  async #adopt(): Promise<void> {
    const head = new Uint8Array(PROBE_BYTES)
    for (let chunk = 0; chunk < this.index.count; chunk++) {
      if (this.has(chunk)) continue
      const { bytesRead } = await this.#file.read(head, 0, PROBE_BYTES, this.index.offset(chunk))
      const isWritten = head.subarray(0, bytesRead).some((byte) => byte !== 0)
      if (isWritten && (await this.#isRight(chunk))) this.#mark(chunk)
    }
    await this.commit()
  }

  async #isRight(chunk: number): Promise<boolean> {
    const place = { offset: this.index.offset(chunk), length: this.index.length(chunk) }
    const bytes = await readPiece(this.#file, place)
    return bytes !== undefined && sha256Of(bytes) === this.index.sha256(chunk)
  }

  async #dropWrong(signal: AbortSignal | undefined): Promise<number> {
    let dropped = 0
    for (let chunk = 0; chunk < this.index.count; chunk++) {
      signal?.throwIfAborted()
      if (await this.#isRight(chunk)) continue
      this.#unmark(chunk)
      dropped += 1
    }
    if (dropped > 0) this.#options.progress.write(this.#options.key, this.#committed.bytes)
    return dropped
  }
}

/** The file, where there is one of the right size. One that was cut short holds nothing that could be relied on. */
async function openSized(path: string, bytes: number): Promise<FileHandle | undefined> {
  const file = await open(path, 'r+').catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return undefined
  const { size } = await file.stat()
  if (size === bytes) return file
  await file.close()
  return undefined
}
