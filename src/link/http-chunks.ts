import { EdgeError } from '../kit/errors.ts'
import type { ChunkRequest, ChunkSource, DecodeChunk, FetchedChunk } from './chunk-source.ts'
import type { HttpRegistry, Place } from './http-registry.ts'
import type { TokenBucket } from './token-bucket.ts'

/** One range asks for at most so much, so that a lost connection is noticed and nothing is asked for twice. */
const RANGE_BYTES_MAX = 1024 ** 2

/** Chunks over HTTP: those that lie side by side in a pack come as one range. */
export class HttpChunks implements ChunkSource {
  readonly name = 'http'
  readonly #registry: HttpRegistry
  readonly #bucket: TokenBucket
  readonly #decode: DecodeChunk
  /** Of the index asked for last: where things lie does not change. */
  #places: { readonly index: string; readonly places: readonly Place[] } | undefined
  /** What had come of a chunk when a connection broke. */
  #begun: Begun | undefined

  constructor(parts: { registry: HttpRegistry; bucket: TokenBucket; decode: DecodeChunk }) {
    this.#registry = parts.registry
    this.#bucket = parts.bucket
    this.#decode = parts.decode
  }

  async *fetch(request: ChunkRequest): AsyncGenerator<FetchedChunk> {
    const places = await this.#placesOf(request)
    const stored = request.wanted.map((chunk) => locate(chunk, places[chunk], request))
    for (const run of groupRuns(stored)) yield* this.#fetchRun(run, request)
  }

  async #placesOf({ index, signal }: ChunkRequest): Promise<readonly Place[]> {
    if (this.#places?.index !== index) {
      this.#places = { index, places: await this.#registry.places(index, signal) }
    }
    return this.#places.places
  }

  async *#fetchRun(run: readonly Stored[], request: ChunkRequest): AsyncGenerator<FetchedChunk> {
    const [first] = run
    const last = run.at(-1)
    if (first === undefined || last === undefined) return
    const cutter = new Cutter(run, this.#takeBegun(first))
    const range = {
      start: first.offset + cutter.begun.byteLength,
      end: last.offset + last.storedBytes,
      signal: request.signal,
    }
    await this.#bucket.ready(request.signal)
    try {
      for await (const piece of this.#registry.range(first.pack, range)) {
        this.#bucket.spend(piece.byteLength)
        for (const { stored, bytes } of cutter.take(piece)) {
          const length = request.length(stored.chunk)
          yield { chunk: stored.chunk, bytes: this.#decode({ encoding: stored.encoding, bytes }, length) }
        }
        // Not reading is what slows the other side down.
        await this.#bucket.ready(request.signal)
      }
    } finally {
      if (cutter.next !== undefined) this.#begun = { ...cutter.next, bytes: cutter.begun }
    }
    if (cutter.next === undefined) return
    throw new EdgeError('peer_failed', `Cannot fetch from the pack ${first.pack}: the answer ended early`)
  }

  /** The beginning of this chunk, where it is here. */
  #takeBegun({ pack, offset, storedBytes }: Stored): Uint8Array {
    const begun = this.#begun
    this.#begun = undefined
    const fits = begun?.pack === pack && begun.offset === offset && begun.bytes.byteLength < storedBytes
    return fits ? begun.bytes : new Uint8Array(0)
  }
}

interface Begun {
  readonly pack: string
  readonly offset: number
  readonly bytes: Uint8Array
}

interface Stored {
  readonly chunk: number
  readonly pack: string
  readonly offset: number
  readonly storedBytes: number
  readonly encoding: 'plain' | 'zstd'
}

/** Where things lie is a hint of the registry's: it is held to what the signed index says. */
function locate(chunk: number, place: Place | undefined, request: ChunkRequest): Stored {
  if (place === undefined || place === null) {
    throw new EdgeError(
      'peer_failed',
      `Cannot fetch chunk ${chunk} of ${request.index}: the registry does not have it`,
    )
  }
  const length = request.length(chunk)
  if (place.stored_bytes > length) {
    throw new EdgeError(
      'peer_failed',
      `Cannot fetch chunk ${chunk} of ${request.index}: ${place.stored_bytes} stored bytes for ${length}`,
    )
  }
  const { pack, offset, encoding } = place
  return { chunk, pack, offset, storedBytes: place.stored_bytes, encoding }
}

/** Chunks that lie side by side, as runs. */
function groupRuns(stored: readonly Stored[]): Stored[][] {
  const runs: Stored[][] = []
  let end: { pack: string; offset: number; start: number } | undefined
  for (const one of [...stored].sort(byPlace)) {
    const isNext = end !== undefined && end.pack === one.pack && end.offset === one.offset
    const fits = end !== undefined && one.offset + one.storedBytes - end.start <= RANGE_BYTES_MAX
    if (isNext && fits) runs.at(-1)?.push(one)
    else runs.push([one])
    const start = isNext && fits ? (end?.start ?? one.offset) : one.offset
    end = { pack: one.pack, offset: one.offset + one.storedBytes, start }
  }
  return runs
}

function byPlace(one: Stored, other: Stored): number {
  if (one.pack !== other.pack) return one.pack < other.pack ? -1 : 1
  return one.offset - other.offset
}

/** Cuts what comes in pieces of any size into stored chunks. */
class Cutter {
  readonly #run: readonly Stored[]
  #at = 0
  #pieces: Uint8Array[]
  #bytes: number

  constructor(run: readonly Stored[], begun: Uint8Array) {
    this.#run = run
    this.#pieces = begun.byteLength === 0 ? [] : [begun]
    this.#bytes = begun.byteLength
  }

  /** The one that is being waited for; undefined: all have come. */
  get next(): Stored | undefined {
    return this.#run[this.#at]
  }

  /** What has come of it. */
  get begun(): Uint8Array {
    return Buffer.concat(this.#pieces)
  }

  *take(piece: Uint8Array): Generator<{ stored: Stored; bytes: Uint8Array }> {
    let rest = piece
    for (let stored = this.next; stored !== undefined; stored = this.next) {
      const lacking = stored.storedBytes - this.#bytes
      if (rest.byteLength < lacking) break
      const tail = rest.subarray(0, lacking)
      const bytes = this.#pieces.length === 0 ? tail : Buffer.concat([...this.#pieces, tail])
      this.#pieces = []
      this.#bytes = 0
      this.#at += 1
      rest = rest.subarray(lacking)
      yield { stored, bytes }
    }
    if (rest.byteLength === 0 || this.next === undefined) return
    this.#pieces.push(rest)
    this.#bytes += rest.byteLength
  }
}
