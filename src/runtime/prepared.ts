import { join } from 'node:path'
import type { EngineCache, Entry } from '../engines/cache.ts'
import { digestOf, type EngineFacts, engineKey, type Facts } from '../engines/key.ts'
import type { ModelDigests } from '../engines/model-digest.ts'
import { messageOf } from '../kit/errors.ts'
import { giveBack } from '../kit/give-back.ts'
import { type Logger, logger } from '../kit/log.ts'
import { type Attempt, type Create, type Created, plain } from './attempt.ts'
import type { Address } from './memory.ts'
import type { Ort } from './ort.ts'
import { isCpu } from './providers.ts'
import { readMetadata, readSignature } from './signature.ts'

interface PreparedParts {
  readonly cache: EngineCache
  /** What the results hang on, beside the model and its options. */
  readonly runtime: Facts
  readonly board: Facts
  readonly digests: ModelDigests
  readonly ort: Ort
}

/** What an entry is made of, or for. */
interface Subject {
  readonly facts: EngineFacts
  readonly key: string
  readonly bytes: number
  readonly path: string
}

const MODEL_NAME = 'model.onnx'
/** Below it there is nothing to be won: looking for an entry takes as long as rewriting a few nodes. */
const MODEL_BYTES_MIN = 16 * 1024
/** What is kept is in memory a second time while it is loaded, and the larger a model, the less of its load is rewriting. */
const MODEL_BYTES_MAX = 128 * 1024 ** 2
/** Keys of which nothing could be written are remembered until the process ends. */
const UNWRITABLE_MAX = 1024

/**
 * Models as ONNX Runtime has rewritten them for this processor. Rewriting is half of what loading a small model takes, and
 * gives the same each time: the session that does it writes down what came of it, and the next one loads that.
 */
export class Prepared {
  readonly #parts: PreparedParts
  readonly #unwritable = new Set<string>()
  /** What is being put into the cache. */
  readonly #keeping = new Set<Promise<void>>()
  readonly #log: Logger = logger('engines')

  constructor(parts: PreparedParts) {
    this.#parts = parts
  }

  async open(attempt: Attempt, create: Create): Promise<Created> {
    const subject = await this.#describe(attempt)
    if (subject === undefined) return plain(await create(attempt))
    const { key } = subject
    const entry = await this.#parts.cache.find(key)
    const loaded = entry === undefined ? undefined : await this.#load(entry, attempt, create)
    if (loaded !== undefined) return { handle: loaded, onClosed: this.#parts.cache.hold(key) }
    const isUnfit = entry !== undefined && entry.manifest.unfit !== ''
    if (isUnfit || this.#unwritable.has(key)) {
      this.#parts.cache.counts.unfit += 1
      return plain(await create(attempt))
    }
    this.#parts.cache.counts.misses += 1
    return { handle: await this.#make(attempt, subject, create), onClosed: this.#parts.cache.hold(key) }
  }

  /** Everything that has been begun is in the cache, or will never be. */
  async settle(): Promise<void> {
    await Promise.all(this.#keeping)
  }

  /** Undefined where there is nothing to be won or nothing that could be kept. */
  async #describe({ source, options, providers }: Attempt): Promise<Subject | undefined> {
    const { cache, runtime, board, digests } = this.#parts
    const mayGain = options.graphOptimization !== 'none' && providers.every(({ name }) => isCpu(name))
    if (options.engineCache === 'off' || cache.problem !== undefined || !mayGain || !('path' in source))
      return undefined
    const model = await digests.of(source.path)
    if (model === undefined || model.bytes < MODEL_BYTES_MIN) return undefined
    if (!model.isOneFile || model.bytes > MODEL_BYTES_MAX) {
      cache.counts.unfit += 1
      return undefined
    }
    const { graphOptimization, freeDimensions, configEntries } = options
    const session = { graphOptimization, freeDimensions, configEntries }
    const facts = { kind: 'optimized', model: model.digest, runtime, board, providers: [], session } as const
    return { facts, key: engineKey(facts), bytes: model.bytes, path: source.path }
  }

  /** Undefined where the entry is of no use; then it is gone, or says so from now on. */
  async #load(entry: Entry, attempt: Attempt, create: Create): Promise<Address | undefined> {
    const { cache, ort } = this.#parts
    const [file] = entry.manifest.files
    if (entry.manifest.unfit !== '' || file === undefined) return undefined
    const bytes = await cache.read(entry, file)
    if (bytes === undefined) return undefined
    const options = { ...attempt.options, graphOptimization: 'none', freeDimensions: {} } as const
    try {
      const handle = await create({ ...attempt, source: { bytes }, options })
      if (describe(ort, handle) === entry.manifest.signature) {
        cache.counts.hits += 1
        return handle
      }
      ort.functions.ReleaseSession(handle)
      await this.#spurn(entry, 'what was loaded from it has other inputs, outputs or metadata')
    } catch (error) {
      await this.#spurn(entry, messageOf(error))
    } finally {
      giveBack(bytes)
    }
    return undefined
  }

  /** What is whole and still does not load would not the next time: that is kept instead. */
  async #spurn({ key, manifest }: Entry, problem: string): Promise<void> {
    const { cache } = this.#parts
    await cache.discard(key, problem)
    const draft = await cache.draft(key, 0)
    if (draft !== undefined) await cache.keep(draft, { ...manifest, unfit: problem })
    this.#remember(key)
  }

  async #make(attempt: Attempt, subject: Subject, create: Create): Promise<Address> {
    const { cache, ort, digests } = this.#parts
    const { facts, key, bytes, path } = subject
    const draft = await cache.draft(key, bytes)
    if (draft === undefined) return await create(attempt)
    try {
      const handle = await create({ ...attempt, optimizedPath: join(draft, MODEL_NAME) })
      const signature = describe(ort, handle)
      const manifest = { facts, libraries: {}, madeFor: attempt.options.id, unfit: '', signature }
      // What was loaded may not be what was hashed, where somebody has written to it in between.
      const isSame = (await digests.of(path))?.digest === facts.model
      this.#inBackground(isSame ? cache.keep(draft, manifest) : cache.drop(draft))
      return handle
    } catch (error) {
      await cache.drop(draft)
      const handle = await create(attempt)
      // The model is fine: it was the writing that failed.
      this.#remember(key)
      cache.counts.failed += 1
      this.#log.warn('engines.not_written', { session: attempt.options.id, reason: messageOf(error) })
      return handle
    }
  }

  #remember(key: string): void {
    if (this.#unwritable.size < UNWRITABLE_MAX) this.#unwritable.add(key)
  }

  #inBackground(work: Promise<void>): void {
    this.#keeping.add(work)
    void work.finally(() => this.#keeping.delete(work))
  }
}

/** Inputs, outputs and metadata of a session, in one word. */
function describe(ort: Ort, handle: Address): string {
  return digestOf([readSignature(ort, handle), readMetadata(ort, handle)])
}
