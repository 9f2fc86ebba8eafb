import { EdgeError } from '../kit/errors.ts'
import { encodeBitmap } from './bitmap.ts'
import type { ChunkRequest, DecodeChunk, FetchedChunk } from './chunk-source.ts'
import type { Exchange } from './exchange.ts'
import type { Frame } from './frame.ts'
import type { OpenLine } from './line.ts'
import { ANSWER_BYTES_MAX, WANT_BITS_MAX } from './messages.ts'
import { Parts } from './parts.ts'
import type { TokenBucket } from './token-bucket.ts'
import { Window } from './window.ts'

export interface TransferParts {
  readonly exchange: Exchange
  readonly line: OpenLine
  readonly frameBytes: number
  readonly bucket: TokenBucket
  readonly decode: DecodeChunk
  readonly request: ChunkRequest
  /** Chunks of which some parts are here. Filled while it runs. */
  readonly begun: Map<number, Parts>
}

/** So many are under way at once: one answer travels while the next is made ready. */
const QUESTIONS_MAX = 2
/** Answers in a row that bring nothing new. */
const IDLE_MAX = 4
/** Single parts in one question. */
const PARTS_ASKED_MAX = 256

/**
 * One file's chunks over one line: a window of them is asked for by a bitmap, frames come with QoS 0, and what has not
 * come is asked for again. The bitmap is all the state there is.
 */
export class ChunkTransfer {
  readonly #with: TransferParts
  readonly #window = new Window()
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  /** Not here, and in no question that is under way; ascending. */
  #waiting: number[]
  /** Whole, and not yet taken. */
  readonly #whole: FetchedChunk[] = []
  #missing: number | undefined
  #idle = 0

  constructor(parts: TransferParts) {
    this.#with = parts
    this.#waiting = [...parts.request.wanted]
    this.#signal = AbortSignal.any([parts.request.signal, this.#stop.signal])
  }

  stop(): void {
    this.#stop.abort()
  }

  async *run(): AsyncGenerator<FetchedChunk> {
    const under: Promise<void>[] = []
    try {
      while (this.#waiting.length > 0 || under.length > 0) {
        while (under.length < QUESTIONS_MAX && this.#waiting.length > 0)
          under.push(this.#ask(this.#takeBatch()))
        await under.shift()
        yield* this.#takeWhole()
        this.#refuseHopeless()
      }
    } catch (error) {
      // What came before the line broke has been paid for.
      yield* this.#takeWhole()
      throw error
    }
  }

  *#takeWhole(): Generator<FetchedChunk> {
    yield* this.#whole.splice(0)
  }

  #refuseHopeless(): void {
    const { index } = this.#with.request
    if (this.#missing !== undefined) {
      throw new EdgeError(
        'peer_failed',
        `Cannot fetch chunk ${this.#missing} of ${index}: the registry does not have it`,
      )
    }
    if (this.#idle >= IDLE_MAX) {
      throw new EdgeError(
        'peer_failed',
        `Cannot fetch chunks of ${index}: ${IDLE_MAX} answers in a row brought nothing`,
      )
    }
  }

  /** The next chunks, as many as fit into this question's share of the window; one at least. */
  #takeBatch(): Batch {
    const most = Math.min(this.#window.bytes / QUESTIONS_MAX, this.#with.bucket.most, ANSWER_BYTES_MAX)
    const batch = new Batch()
    const [first = 0] = this.#waiting
    for (const chunk of this.#waiting) {
      const bytes = this.#with.request.length(chunk)
      const missing = this.#with.begun.get(chunk)?.missing ?? []
      const isFull = batch.bytes + bytes > most || batch.parts.length + missing.length > PARTS_ASKED_MAX
      if (batch.chunks.size > 0 && (isFull || chunk - first >= WANT_BITS_MAX)) break
      batch.add(chunk, { bytes, missing })
    }
    this.#waiting = this.#waiting.slice(batch.chunks.size)
    return batch
  }

  /** Never fails unhandled: whoever awaits it hears of it, and nobody else. */
  #ask(batch: Batch): Promise<void> {
    const asked = this.#askFor(batch)
    asked.catch(() => undefined)
    return asked
  }

  async #askFor(batch: Batch): Promise<void> {
    const { exchange, line, frameBytes, bucket, request } = this.#with
    await bucket.ready(this.#signal)
    this.#signal.throwIfAborted()
    let hasNew = false
    const { isWhole } = await exchange.ask(
      {
        op: 'chunks',
        index: request.index,
        ...encodeBitmap(batch.untouched),
        parts: batch.parts,
        bytes_max: batch.bytes,
        frame_bytes: frameBytes,
      },
      {
        line,
        signal: this.#signal,
        take: (frame) => {
          if (this.#take(frame, batch)) hasNew = true
          return batch.chunks.size === 0
        },
      },
    )
    if (isWhole) this.#window.grow()
    else this.#window.shrink()
    this.#idle = hasNew ? 0 : this.#idle + 1
    if (batch.chunks.size > 0)
      this.#waiting = [...batch.chunks, ...this.#waiting].sort((one, other) => one - other)
  }

  /** True when it brought something new. */
  #take(frame: Frame, batch: Batch): boolean {
    this.#with.bucket.spend(frame.bytes.byteLength)
    const { item: chunk } = frame
    if (!batch.chunks.has(chunk)) return false
    if (frame.kind === 'missing') {
      this.#missing = chunk
      return false
    }
    try {
      return this.#addPart(frame, batch)
    } catch (error) {
      if (!(error instanceof EdgeError)) throw error
      // A frame that lies, or a chunk that does not unpack: it is asked for again, from its first part.
      this.#with.begun.delete(chunk)
      return false
    }
  }

  #addPart(frame: Frame, batch: Batch): boolean {
    const { begun, frameBytes, request, decode } = this.#with
    const { item: chunk } = frame
    const length = request.length(chunk)
    const parts = begun.get(chunk) ?? new Parts(frame, { bytesMax: length, frameBytes })
    begun.set(chunk, parts)
    const isNew = parts.add(frame)
    if (!parts.isWhole) return isNew
    begun.delete(chunk)
    const encoding = frame.isZstd ? 'zstd' : 'plain'
    this.#whole.push({ chunk, bytes: decode({ encoding, bytes: parts.join() }, length) })
    batch.chunks.delete(chunk)
    return true
  }
}

/** The chunks of one question. */
class Batch {
  /** Those that have not come. */
  readonly chunks = new Set<number>()
  /** Those of which nothing is here, ascending. */
  readonly untouched: number[] = []
  /** Parts that others lack: [chunk, part]. */
  readonly parts: [number, number][] = []
  bytes = 0

  add(chunk: number, { bytes, missing }: { bytes: number; missing: readonly number[] }): void {
    this.chunks.add(chunk)
    this.bytes += bytes
    if (missing.length === 0) this.untouched.push(chunk)
    for (const part of missing) this.parts.push([chunk, part])
  }
}
