import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Logger } from '../kit/log.ts'
import type {
  ModelMetadata,
  ProviderChoice,
  ProviderFaults,
  ProviderRefusal,
  RunRequest,
  RunResult,
  Session,
  Signature,
} from './backend.ts'
import { OrtError } from './ort-error.ts'
import {
  blame,
  judgeRun,
  letStay,
  outcomeOf,
  type ProviderHealth,
  UNTRIED,
  type Verdict,
} from './provider-health.ts'
import { isCpu } from './providers.ts'

/** A session, and what it was opened with. */
export interface OpenedSession {
  readonly session: Session
  readonly providers: readonly ProviderChoice[]
}

interface Parts {
  readonly id: string
  readonly first: OpenedSession
  /** The same model without some of its providers. */
  readonly reopen: (providers: readonly ProviderChoice[]) => Promise<OpenedSession>
  /** What ONNX Runtime calls a provider. */
  readonly shownName: (name: string) => string
  readonly now: () => number
  readonly log: Logger
}

interface Held extends OpenedSession {
  /** Runs, and results that were not released yet. */
  users: number
  isLeaving: boolean
}

interface Failure {
  readonly request: RunRequest
  readonly cause: OrtError
  readonly verdict: Verdict
}

interface Replacement {
  readonly next: Held
  /** What it does without. */
  readonly lost: readonly ProviderRefusal[]
  readonly result: RunResult | undefined
}

/**
 * A session that goes on serving when its provider does not: what provider-health.ts decides is done here. Runs are pure,
 * so one that failed is run once more on what takes the provider's place, and its client sees an answer. The two sessions
 * are in memory together for a moment; nobody may count on what a lost device would give back.
 */
export class FailoverSession implements Session {
  readonly signature: Signature
  readonly metadata: ModelMetadata
  readonly #parts: Parts
  #current: Held
  #health: ProviderHealth = UNTRIED
  #refusals: readonly ProviderRefusal[]
  #faults: ProviderFaults = { failedRuns: 0, repeatedRuns: 0, replacements: 0 }
  /** While another session is being opened; `isLost` where runs have nothing to run on until then. */
  #change: { readonly done: Promise<void>; readonly isLost: boolean } | undefined
  readonly #leaving = new Set<Promise<void>>()

  constructor(parts: Parts) {
    this.#parts = parts
    const { session } = parts.first
    this.signature = session.signature
    this.metadata = session.metadata
    this.#refusals = session.refusals
    this.#current = hold(parts.first)
  }

  get providers(): readonly string[] {
    return this.#current.session.providers
  }

  get refusals(): readonly ProviderRefusal[] {
    return this.#refusals
  }

  get placement() {
    return this.#current.session.placement
  }

  get runsMax(): number | undefined {
    return this.#current.session.runsMax
  }

  get faults(): ProviderFaults {
    return this.#faults
  }

  get arenaBytes(): number | undefined {
    return this.#current.session.arenaBytes
  }

  async run(request: RunRequest): Promise<RunResult> {
    if (this.#change?.isLost) await this.#change.done
    return await this.#attempt(request)
  }

  /** Never asked for: a provider's runs must not hold up the main thread. */
  runInline(request: RunRequest): RunResult {
    return this.#current.session.runInline(request)
  }

  async close(): Promise<void> {
    await this.#change?.done
    await Promise.all([this.#current.session.close(), ...this.#leaving])
  }

  async #attempt(request: RunRequest): Promise<RunResult> {
    const held = this.#current
    try {
      return await this.#runOn(held, request)
    } catch (error) {
      return await this.#runAgain(held, request, error)
    }
  }

  async #runOn(held: Held, request: RunRequest): Promise<RunResult> {
    held.users += 1
    try {
      const { outputs, runMs, release } = await held.session.run(request)
      if (held === this.#current) this.#health = judgeRun(this.#health, 'ok', this.#parts.now()).health
      return {
        outputs,
        runMs,
        release: () => {
          release()
          this.#leave(held)
        },
      }
    } catch (error) {
      this.#leave(held)
      throw error
    }
  }

  /** Where something has taken the place of what failed, which happens at most once a provider; else with the error. */
  async #runAgain(held: Held, request: RunRequest, error: unknown): Promise<RunResult> {
    const cause = failureOf(error)
    const outcome = cause && outcomeOf(cause)
    if (outcome === undefined || cause === undefined || accelerators(held).length === 0) throw error
    this.#count('failedRuns')
    if (held === this.#current) {
      const { health, verdict } = judgeRun(this.#health, outcome, this.#parts.now())
      this.#health = health
      if (verdict !== 'go_on' && this.#change === undefined) {
        const result = await this.#begin(held, { request, cause, verdict })
        if (result !== undefined) {
          this.#count('repeatedRuns')
          return result
        }
      }
    }
    await this.#change?.done
    if (held === this.#current) throw error
    const result = await this.#attempt(request)
    this.#count('repeatedRuns')
    return result
  }

  async #begin(held: Held, failure: Failure): Promise<RunResult | undefined> {
    const replaced = this.#replace(held, failure)
    const done = replaced.then(
      () => undefined,
      () => undefined,
    )
    this.#change = { done, isLost: failure.verdict === 'replace' }
    try {
      return await replaced
    } finally {
      this.#change = undefined
    }
  }

  /** The answer to the request that has proved the provider guilty, where it was to prove that. */
  async #replace(held: Held, failure: Failure): Promise<RunResult | undefined> {
    const { id, now, log } = this.#parts
    try {
      const { next, lost, result } = await this.#openWithout(held, failure)
      this.#adopt(next, lost)
      this.#letGo(held)
      return await unlessAborted(result, failure.request)
    } catch (error) {
      if (this.#current !== held) throw error
      this.#health = letStay(this.#health, now())
      const [reason, why] = [failure.cause.message, messageOf(error)]
      log.warn('runtime.provider_kept', { session: id, providers: held.session.providers, reason, why })
      return undefined
    }
  }

  /** Without one provider after the other, until the request is answered: only then it was not the request. */
  async #openWithout(held: Held, { request, cause, verdict }: Failure): Promise<Replacement> {
    const { reopen, shownName } = this.#parts
    const lost: ProviderRefusal[] = []
    let { providers } = held
    let reason = cause.message
    for (;;) {
      const known = providers.filter(({ name }) => !isCpu(name))
      const provider =
        blame(
          reason,
          known.map(({ name }) => ({ name, shown: shownName(name) })),
        ) ?? ''
      const next = hold(await reopen(providers.filter(({ name }) => name !== provider)))
      lost.push({ provider, reason, hasFailed: true }, ...next.session.refusals)
      if (verdict !== 'prove') return { next, lost, result: undefined }
      try {
        // Whoever asked may have gone: the answer is wanted all the same, for what it says of the provider.
        return { next, lost, result: await this.#runOn(next, { ...request, signal: undefined }) }
      } catch (error) {
        this.#letGo(next)
        const again = failureOf(error)
        if (again === undefined || accelerators(next).length === 0) throw error
        providers = next.providers
        reason = again.message
      }
    }
  }

  #adopt(next: Held, lost: readonly ProviderRefusal[]): void {
    const { id, log } = this.#parts
    this.#current = next
    this.#health = UNTRIED
    this.#refusals = [...this.#refusals, ...lost]
    this.#count('replacements')
    for (const { provider, reason } of lost.filter(({ hasFailed }) => hasFailed))
      log.warn('runtime.provider_failed', { session: id, provider, reason, instead: next.session.providers })
  }

  #count(what: keyof ProviderFaults): void {
    this.#faults = { ...this.#faults, [what]: this.#faults[what] + 1 }
  }

  #leave(held: Held): void {
    held.users -= 1
    if (held.isLeaving && held.users === 0) this.#close(held)
  }

  #letGo(held: Held): void {
    held.isLeaving = true
    if (held.users === 0) this.#close(held)
  }

  /** What cannot be closed any more is lost; what took its place serves. */
  #close({ session }: Held): void {
    const { id, log } = this.#parts
    const closed = session.close().catch((error: unknown) => {
      log.warn('runtime.close_failed', { session: id, reason: messageOf(error) })
    })
    this.#leaving.add(closed)
    void closed.then(() => this.#leaving.delete(closed))
  }
}

function hold(opened: OpenedSession): Held {
  return { ...opened, users: 0, isLeaving: false }
}

function accelerators({ providers }: OpenedSession): readonly ProviderChoice[] {
  return providers.filter(({ name }) => !isCpu(name))
}

/** What ONNX Runtime said, where a run failed by no fault that can be seen in its request. */
function failureOf(error: unknown): OrtError | undefined {
  if (!(error instanceof EdgeError) || error.code !== 'runtime_failed') return undefined
  return error.cause instanceof OrtError ? error.cause : undefined
}

async function unlessAborted(
  result: RunResult | undefined,
  { signal }: RunRequest,
): Promise<RunResult | undefined> {
  if (!signal?.aborted) return result
  result?.release()
  throw new EdgeError('cancelled', 'Cannot repeat the run: cancelled')
}
