import { EdgeError } from '../kit/errors.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import type { Assembly } from './assembly.ts'

/** A way by which chunks come. Gives what is wanted in any order, or throws; what it gave before that counts. */
export interface ChunkSource {
  readonly name: string
  fetch(request: {
    /** SHA-256 of the file's chunk index. */
    readonly index: string
    readonly length: (chunk: number) => number
    /** Numbers of chunks, ascending, each once. */
    readonly wanted: readonly number[]
    readonly signal: AbortSignal
  }): AsyncIterable<{ readonly chunk: number; readonly bytes: Uint8Array }>
}

export interface DownloadOptions {
  readonly assembly: Assembly
  /** In the order in which they are asked. */
  readonly sources: readonly ChunkSource[]
  readonly signal: AbortSignal
  /** After each chunk. */
  readonly progress: (doneBytes: number) => void
}

/** So many chunks more than were asked for may come before a source is given up: doubles, late ones, wrong ones. */
const SURPLUS_MAX = 64
/** So many times in a row all that comes may be wrong: a line may spoil a chunk, but hardly the same one each time. */
const WRONG_ROUNDS_MAX = 4

/**
 * Fetches what an assembly lacks. A source that fails hands over to the next, and they are asked in turn for as long as
 * any of them moves it on; a chunk that is wrong counts as not given, and one that comes wrong again and again is refused.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { assembly, sources, signal } = options
  let lacking = assembly.missing()
  let fruitless = 0
  while (lacking.length > 0) {
    const failures: unknown[] = []
    for (const source of sources) {
      failures.push(await fetchFrom(source, options))
      if (assembly.missing().length === 0) return
    }
    const left = assembly.missing()
    fruitless = left.length === lacking.length ? fruitless + 1 : 0
    const refusal = failures.find((each) => each instanceof TrustRefusal)
    if (fruitless >= (refusal === undefined ? 1 : WRONG_ROUNDS_MAX)) throw refusal ?? stuck(options, failures)
    signal.throwIfAborted()
    lacking = left
  }
}

/** What went wrong with the source, if anything did. A disk that does not take what comes is not the source's fault. */
async function fetchFrom(source: ChunkSource, options: DownloadOptions): Promise<unknown> {
  const { assembly, signal, progress } = options
  const wanted = assembly.missing()
  const given = source.fetch({
    index: assembly.chunkIndex,
    length: (chunk) => assembly.index.length(chunk),
    wanted,
    signal,
  })
  let count = 0
  let wrong = 0
  try {
    for await (const { chunk, bytes } of given) {
      signal.throwIfAborted()
      if ((await assembly.write(chunk, bytes)) === 'wrong') wrong += 1
      progress(assembly.doneBytes)
      count += 1
      if (count > wanted.length + SURPLUS_MAX || wrong > SURPLUS_MAX) break
    }
  } catch (error) {
    signal.throwIfAborted()
    if (isStorage(error)) throw error
    return error
  }
  if (assembly.missing().length === 0) return undefined
  const reason = `"${source.name}" gave ${count} chunks of ${wanted.length}, ${wrong} of them wrong`
  return wrong > 0 ? new TrustRefusal('chunk_tampered', reason) : new EdgeError('peer_failed', reason)
}

function isStorage(error: unknown): boolean {
  return error instanceof EdgeError && (error.code === 'storage_full' || error.code === 'storage_failed')
}

function stuck({ assembly, sources }: DownloadOptions, failures: readonly unknown[]): unknown {
  const failure = failures.find((each) => each !== undefined)
  if (sources.length > 0) return failure
  return new EdgeError(
    'peer_failed',
    `Cannot fetch ${assembly.missing().length} chunks: there is nothing to fetch them from`,
  )
}
