import { copyFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { EngineCache, Entry } from '../engines/cache.ts'
import { type EngineFacts, engineKey, type Facts } from '../engines/key.ts'
import { changedLibrary, loadedLibraries } from '../engines/libraries.ts'
import type { ModelDigests } from '../engines/model-digest.ts'
import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Attempt, Create, Created } from './attempt.ts'
import type { ProviderChoice } from './backend.ts'
import type { BuildTurns } from './build-turns.ts'
import { keepsEngines, withEngineFolder } from './engine-options.ts'
import { ProviderError } from './fallback.ts'
import type { Address } from './memory.ts'

/** What a provider notes of how long each of its kernels takes here, of use to every model. */
const TIMING = '.timing'

interface CompiledParts {
  readonly cache: EngineCache
  readonly runtime: Facts
  readonly board: Facts
  readonly digests: ModelDigests
  readonly turns: BuildTurns
  /** Of the library that a provider comes from, "" where it is the runtime itself. */
  readonly libraryOf: (provider: string) => Promise<string>
}

/** What an entry is for. */
interface Subject {
  readonly facts: EngineFacts
  readonly key: string
  readonly bytes: number
  readonly path: string
}

/**
 * Engines that providers compile of models: seconds to minutes of work. A session gets a folder of its own with verified
 * copies of what was kept, and may write there; what it has written is kept when it is created, and again when it is closed,
 * since shapes that come later have providers compile more.
 */
export class Compiled {
  readonly #parts: CompiledParts
  readonly #keeping = new Set<Promise<void>>()
  readonly #log: Logger = logger('engines')

  constructor(parts: CompiledParts) {
    this.#parts = parts
  }

  /** Whether a session of these would have to wait for an engine to be built. */
  async wouldBuild(attempt: Attempt): Promise<boolean> {
    const subject = await this.#describe(attempt)
    return subject !== undefined && (await this.#find(subject)) === undefined
  }

  async open(attempt: Attempt, create: Create): Promise<Created | undefined> {
    const subject = await this.#describe(attempt)
    if (subject === undefined) return undefined
    const { cache } = this.#parts
    const entry = await this.#find(subject)
    const copy = entry && (await cache.copy(entry))
    if (copy === undefined) return await this.#build(subject, attempt, create)
    const loaded = await this.#load(subject, { attempt, copy }, create)
    return typeof loaded === 'string' ? await this.#build(subject, attempt, create, loaded) : loaded
  }

  async settle(): Promise<void> {
    await Promise.all(this.#keeping)
  }

  async #describe({ source, options, providers }: Attempt): Promise<Subject | undefined> {
    const { cache, runtime, board, digests, libraryOf } = this.#parts
    if (cache.problem !== undefined || options.engineCache === 'off' || !('path' in source)) return undefined
    const model = await digests.of(source.path)
    if (model === undefined) return undefined
    const { graphOptimization, freeDimensions, configEntries } = options
    const named: EngineFacts['providers'][number][] = []
    for (const { name, options: said } of providers)
      named.push({ name, options: said, library: await libraryOf(name) })
    const session = { graphOptimization, freeDimensions, configEntries }
    const facts = { kind: 'engine', model: model.digest, runtime, board, providers: named, session } as const
    return { facts, key: engineKey(facts), bytes: model.bytes, path: source.path }
  }

  async #find({ key }: Subject): Promise<Entry | undefined> {
    const { cache } = this.#parts
    const entry = await cache.find(key)
    const changed = entry && (await changedLibrary(entry.manifest.libraries))
    if (changed === undefined) return entry
    await cache.discard(key, `"${changed}" is not what the engine was made with`)
    return undefined
  }

  /** Why not, where the provider does not take what was kept. */
  async #load(
    subject: Subject,
    { attempt, copy }: { attempt: Attempt; copy: string },
    create: Create,
  ): Promise<Created | string> {
    const { cache } = this.#parts
    try {
      const handle = await create(within(attempt, copy))
      cache.counts.hits += 1
      return this.#watch(subject, { attempt, folder: copy, handle, before: await stampsOf(copy) })
    } catch (error) {
      await cache.drop(copy)
      return messageOf(error)
    }
  }

  /** Undefined where there is no room for it. `spurned` is why the provider did not take the one that was kept. */
  async #build(
    subject: Subject,
    attempt: Attempt,
    create: Create,
    spurned?: string,
  ): Promise<Created | undefined> {
    const { cache, turns } = this.#parts
    cache.counts.misses += 1
    if (attempt.options.engineCache === 'found') throw beingBuilt(attempt)
    const folder = await cache.draft(subject.key, subject.bytes)
    if (folder === undefined) return undefined
    try {
      await this.#seed(folder, subject)
      const began = performance.now()
      const onStep = attempt.onStep ?? (() => undefined)
      const handle = await turns.take(onStep, () => create({ ...within(attempt, folder), isBuild: true }))
      // Only now: where the provider takes none at all today, it is not the engine that is at fault.
      if (spurned !== undefined) await cache.discard(subject.key, spurned)
      const tookMs = Math.round(performance.now() - began)
      this.#log.info('engines.built', { session: attempt.options.id, took_ms: tookMs })
      return this.#watch(subject, { attempt, folder, handle, before: '' })
    } catch (error) {
      await cache.drop(folder)
      throw error
    }
  }

  /** What an engine of the same board and libraries has measured spares this one a part of its building. */
  async #seed(folder: string, { facts }: Subject): Promise<void> {
    const { cache } = this.#parts
    const alike = (await cache.list()).find(
      ({ manifest }) =>
        manifest?.facts.kind === 'engine' &&
        manifest.files.some(({ name }) => name.endsWith(TIMING)) &&
        JSON.stringify([manifest.facts.board, manifest.facts.runtime]) ===
          JSON.stringify([facts.board, facts.runtime]),
    )
    if (alike?.manifest === undefined) return
    for (const file of alike.manifest.files) {
      if (!file.name.endsWith(TIMING)) continue
      const bytes = await cache.read({ key: alike.key, manifest: alike.manifest }, file)
      if (bytes !== undefined) await Bun.write(join(folder, file.name), bytes)
    }
  }

  #watch(
    subject: Subject,
    of: { attempt: Attempt; folder: string; handle: Address; before: string },
  ): Created {
    const { cache } = this.#parts
    let before = of.before
    const keep = async () => {
      const now = await stampsOf(of.folder)
      if (now !== before && now !== '') await this.#keep(subject, of)
      before = now
    }
    this.#inBackground(keep)
    const letGo = cache.hold(subject.key)
    const onClosed = () => {
      letGo()
      this.#inBackground(async () => {
        await keep()
        await cache.drop(of.folder)
      })
    }
    return { handle: of.handle, onClosed }
  }

  /** The session goes on using its folder, so that a copy of it is kept. */
  async #keep(
    { facts, key, path }: Subject,
    { attempt, folder }: { attempt: Attempt; folder: string },
  ): Promise<void> {
    const { cache, digests } = this.#parts
    // Whoever has written to the model meanwhile has another one.
    if ((await digests.of(path))?.digest !== facts.model) return
    const names = await readdir(folder)
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
    const draft = await cache.draft(
      key,
      sizes.reduce((sum, size) => sum + size, 0),
    )
    if (draft === undefined) return
    for (const name of names) await copyFile(join(folder, name), join(draft, name))
    const libraries = await loadedLibraries()
    await cache.keep(draft, { facts, libraries, madeFor: attempt.options.id, unfit: '', signature: '' })
  }

  /** One after the other: what is written at the end must not be overtaken by what was there before. */
  #inBackground(work: () => Promise<void>): void {
    const before = [...this.#keeping]
    const done = Promise.all(before)
      .then(work)
      .catch((error: unknown) => {
        this.#parts.cache.counts.failed += 1
        this.#log.warn('engines.not_kept', { reason: messageOf(error) })
      })
    this.#keeping.add(done)
    void done.finally(() => this.#keeping.delete(done))
  }
}

function within(attempt: Attempt, folder: string): Attempt {
  const providers = attempt.providers.map((choice) => withEngineFolder(choice, folder))
  return { ...attempt, providers }
}

function beingBuilt({ providers }: Attempt): ProviderError {
  const { name } = providers.find(keepsEngines) as ProviderChoice
  return new ProviderError(name, 'its engine is not built yet')
}

/** Changes whenever a file in the folder does; "" where there is none. */
async function stampsOf(folder: string): Promise<string> {
  const names = (await readdir(folder)).sort()
  const stamps = await Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs, ino } = await stat(join(folder, name))
      return `${name} ${size} ${mtimeMs} ${ino}`
    }),
  )
  return stamps.join('\n')
}
