import type { Clock } from '../kit/clock.ts'
import { inputBytes, type LaneRequest, type LaneResult } from './job.ts'
import type { ResponseCache } from './response-cache.ts'
import type { Statistics } from './statistics.ts'

/** Hashing holds up the main thread for about 0.7 ms a megabyte: larger requests are run, whatever they say. */
const HASHED_BYTES_MAX = 16 * 1024 ** 2

interface LaneCacheOptions {
  readonly cache: ResponseCache
  readonly clock: Clock
  readonly statistics: Statistics
  /** Of the model: what a request gets that names none. */
  readonly allOutputs: readonly string[]
}

/** One lane's way past its own runs: a request that was answered before is answered from memory. */
export class LaneCache {
  readonly #options: LaneCacheOptions
  readonly #scope: number

  constructor(options: LaneCacheOptions) {
    this.#options = options
    this.#scope = options.cache.createScope()
  }

  /** What was answered before, or what `run` answers. Only what was answered well is kept, so only that is found. */
  async answer(request: LaneRequest, run: () => Promise<LaneResult>): Promise<LaneResult> {
    // Its bytes may change between hashing and running: another client would be given the wrong answer.
    if (request.isVolatile || inputBytes(request) > HASHED_BYTES_MAX) return await run()
    const { cache, clock, statistics } = this.#options
    const beganMs = clock.elapsed()
    const key = this.#keyOf(request)
    const kept = cache.find(key)
    const lookupMs = clock.elapsed() - beganMs
    if (kept !== undefined) {
      statistics.hit(lookupMs, clock.now())
      return { outputs: kept, release: () => undefined }
    }
    const result = await run()
    const answeredMs = clock.elapsed()
    try {
      cache.keep(key, this.#scope, result.outputs)
    } catch (error) {
      result.release()
      throw error
    }
    statistics.miss(lookupMs + clock.elapsed() - answeredMs)
    return result
  }

  /** After the last answer. */
  close(): void {
    this.#options.cache.drop(this.#scope)
  }

  /**
   * SHA-256, because whoever could make two requests with equal keys could choose what others are answered. Keeping
   * the inputs to compare them would be as safe, but an image takes a thousand times the room of its classes.
   */
  #keyOf({ inputs, outputs = this.#options.allOutputs }: LaneRequest): string {
    const heads = inputs.map(({ name, datatype, shape, bytes }) => [name, datatype, shape, bytes.byteLength])
    const hasher = new Bun.CryptoHasher('sha256')
    // No line break is in the JSON, and it says how long each tensor is: no two requests read the same.
    hasher.update(`${JSON.stringify([this.#scope, outputs, heads])}\n`)
    for (const { bytes } of inputs) hasher.update(bytes)
    return hasher.digest('base64')
  }
}
