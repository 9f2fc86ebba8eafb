import { dirname, join } from 'node:path'
import type { EngineCache } from '../engines/cache.ts'
import type { Facts } from '../engines/key.ts'
import { stampOf } from '../engines/libraries.ts'
import { ModelDigests } from '../engines/model-digest.ts'
import { type Attempt, type Create, type Created, plain } from './attempt.ts'
import { BuildTurns } from './build-turns.ts'
import { Compiled } from './compiled.ts'
import { keepsEngines, withEngineOptions, withoutEngineFolder } from './engine-options.ts'
import { libraryFacts } from './library-facts.ts'
import type { Ort } from './ort.ts'
import { Prepared } from './prepared.ts'
import { isCpu, PROVIDER_LIBRARIES, providerFullName, shownName } from './providers.ts'
import { createSessionOptions } from './session-options.ts'

/** Where what is made of models is kept, and what that hangs on. */
export interface EngineParts {
  readonly cache: EngineCache
  readonly board: Facts
}

/** Sessions made of what is kept of their models, where something is and the session may have it. */
export class KeptSessions {
  readonly #ort: Ort
  readonly #prepared: Prepared | undefined
  readonly #compiled: Compiled | undefined
  readonly #turns = new BuildTurns()

  constructor(ort: Ort, engines: EngineParts | undefined) {
    this.#ort = ort
    if (engines === undefined) return
    const shared = { ...engines, runtime: libraryFacts(ort), digests: new ModelDigests() }
    const libraryOf = (provider: string) => this.#libraryOf(provider)
    this.#prepared = new Prepared({ ...shared, ort })
    this.#compiled = new Compiled({ ...shared, turns: this.#turns, libraryOf })
  }

  async open(attempt: Attempt, create: Create): Promise<Created> {
    if (attempt.providers.every(({ name }) => isCpu(name)))
      return (await this.#prepared?.open(attempt, create)) ?? plain(await create(attempt))
    const asking = this.#asking(attempt)
    const compiled = this.#keeps(asking) ? await this.#compiled?.open(asking, create) : undefined
    if (compiled !== undefined) return compiled
    return plain(await create(this.#withoutFolder(attempt)))
  }

  /** Whether a session of these would have to wait for an engine to be built. */
  async wouldBuild(attempt: Attempt): Promise<boolean> {
    const asking = this.#asking(attempt)
    if (!this.#keeps(asking) || !((await this.#compiled?.wouldBuild(asking)) ?? false)) return false
    return this.#accepts(this.#withoutFolder(attempt))
  }

  /** Everything that has been begun is in the cache, or will never be. */
  async settle(): Promise<void> {
    await this.#prepared?.settle()
    await this.#compiled?.settle()
  }

  /** What lacks a library or a device is refused for that, now, and not waited for. */
  #accepts(attempt: Attempt): boolean {
    try {
      this.#ort.functions.ReleaseSessionOptions(createSessionOptions(this.#ort, attempt.options, attempt))
      return true
    } catch {
      return false
    }
  }

  #withoutFolder(attempt: Attempt): Attempt {
    const providers = attempt.providers.map((one) => withoutEngineFolder(one, shownName(this.#ort, one.name)))
    return { ...attempt, providers }
  }

  /** One that is not there compiles nothing, and is refused for what it is. */
  #keeps({ providers }: Attempt): boolean {
    const { libraries, providers: built } = this.#ort
    const isThere = (name: string) =>
      libraries.some((one) => one.name === name && !('problem' in one)) ||
      built.includes(providerFullName(name))
    return providers.some((one) => keepsEngines(one) && isThere(one.name))
  }

  #asking(attempt: Attempt): Attempt {
    const providers = attempt.providers.map((one) => withEngineOptions(one, shownName(this.#ort, one.name)))
    return { ...attempt, providers }
  }

  async #libraryOf(provider: string): Promise<string> {
    const plugin = this.#ort.libraries.find(({ name }) => name === provider)
    const isIt = ([name]: [string, string]) => providerFullName(name) === providerFullName(provider)
    const file = Object.entries(PROVIDER_LIBRARIES).find(isIt)?.[1]
    const path = plugin?.path ?? (file && join(dirname(this.#ort.libraryPath), file))
    return path === undefined ? '' : ((await stampOf(path)) ?? '')
  }
}
