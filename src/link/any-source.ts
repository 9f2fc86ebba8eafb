import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import type { ChunkRequest, ChunkSource, FetchedChunk } from './chunk-source.ts'

const LOG = logger('link')
const FIRST_MS = 500
const LONGEST_MS = 30_000

export interface AnySourceParts {
  /** The one to try first comes first. */
  readonly sources: readonly ChunkSource[]
  readonly clock: Clock
  readonly random: Random
  /** Without a new chunk for so long it is given up. */
  readonly idleMsMax: number
}

/**
 * Whatever way works: when one breaks off, the next goes on with what is still wanted, and when none works, all are tried
 * again after a while.
 */
export class AnySource implements ChunkSource {
  readonly name = 'any'
  readonly #parts: AnySourceParts
  /** Which source gave which chunk of the index asked for last. */
  #given = { index: '', by: new Map<number, number>() }

  constructor(parts: AnySourceParts) {
    this.#parts = parts
  }

  async *fetch(request: ChunkRequest): AsyncGenerator<FetchedChunk> {
    const { clock, random, idleMsMax, sources } = this.#parts
    const wanted = new Set(request.wanted)
    let lastNews = clock.elapsed()
    let failures = 0
    for (let turn = this.#firstFor(request); wanted.size > 0; turn += 1) {
      const place = turn % sources.length
      const source = sources[place]
      if (source === undefined)
        throw new EdgeError('peer_failed', 'Cannot fetch chunks: there is no way to the registry')
      const before = wanted.size
      const note = (chunk: number) => this.#given.by.set(chunk, place)
      const error = yield* drain(source, { ...request, wanted: [...wanted] }, { wanted, note })
      if (error === undefined) continue
      request.signal.throwIfAborted()
      if (wanted.size < before) {
        lastNews = clock.elapsed()
        failures = 0
      }
      failures += 1
      LOG.warn('link.source_failed', { source: source.name, reason: messageOf(error), wanted: wanted.size })
      if (clock.elapsed() - lastNews > idleMsMax) throw error
      // Another way is tried at once; when all have failed there is no hurry.
      if (failures < sources.length) continue
      await clock.sleep(
        random.fraction() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 20)),
        request.signal,
      )
    }
  }

  /** A chunk that was given and is wanted again was wrong: the next way may give the right one. */
  #firstFor({ index, wanted }: ChunkRequest): number {
    if (this.#given.index !== index) this.#given = { index, by: new Map() }
    const giver = wanted.map((chunk) => this.#given.by.get(chunk)).find((place) => place !== undefined)
    return giver === undefined ? 0 : giver + 1
  }
}

/** Takes what a source gives, until it is through or fails; gives the error. */
async function* drain(
  source: ChunkSource,
  request: ChunkRequest,
  { wanted, note }: { readonly wanted: Set<number>; readonly note: (chunk: number) => void },
): AsyncGenerator<FetchedChunk, unknown> {
  try {
    for await (const fetched of source.fetch(request)) {
      if (!wanted.delete(fetched.chunk)) continue
      note(fetched.chunk)
      yield fetched
    }
  } catch (error) {
    return error
  }
  if (wanted.size === 0) return undefined
  return new EdgeError(
    'peer_failed',
    `Cannot fetch ${wanted.size} chunks over ${source.name}: it gave no more`,
  )
}
