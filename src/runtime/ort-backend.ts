import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Attempt } from './attempt.ts'
import type { Backend, ModelSource, ProviderChoice, Session, SessionOptions, Signature } from './backend.ts'
import { FailoverSession, type OpenedSession } from './failover-session.ts'
import { openWithFallback } from './fallback.ts'
import { planProviders } from './gpu-plan.ts'
import { playsGraphs } from './gpu-settings.ts'
import { idleProviders } from './idle-providers.ts'
import { type EngineParts, KeptSessions } from './kept-sessions.ts'
import { type Address, addressOf, Scope } from './memory.ts'
import { Ort } from './ort.ts'
import { OrtSession, type OrtSessionParts } from './ort-session.ts'
import type { ProviderLibrary } from './provider-library.ts'
import { isCpu, providerFullName, shownName } from './providers.ts'
import { createSessionOptions } from './session-options.ts'
import { readSignature } from './signature.ts'
import { Threads } from './threads.ts'

/**
 * A tenth of the weight of a run thread (sched(7)): runs hardly notice, and under full load, where nothing is left over,
 * loading takes about ten times as long and ends. The nicest (19) would take seventy times as long.
 */
const LOADER_NICE = 10

/** ONNX Runtime through its C ABI: one library, `threads` threads that run, one that loads. */
export class OrtBackend implements Backend {
  readonly name: string
  readonly ort: Ort
  readonly #threads: Threads
  /** Loading takes seconds, with TensorRT minutes: it must not take a thread from the runs. Made when first needed. */
  #loader: Threads | undefined
  /** The same for sessions without threads of their own, which would be as nice as the thread that made them. */
  #niceLoader: Threads | undefined
  /** The same for what takes minutes: nothing else that is loaded waits for it. */
  #builder: Threads | undefined

  /** For sessions that leave it open. */
  readonly providers: readonly ProviderChoice[]
  readonly #kept: KeptSessions
  readonly #log: Logger

  constructor(options: {
    libraryPath: string
    threads: number
    providers?: readonly ProviderChoice[]
    providerLibraries?: readonly ProviderLibrary[]
    /** Without it every session is made of the model as it is. */
    engines?: EngineParts | undefined
  }) {
    this.#log = logger('runtime')
    this.providers = options.providers ?? [{ name: 'cpu', options: {} }]
    this.ort = new Ort(options.libraryPath, options.providerLibraries)
    this.name = `onnxruntime ${this.ort.version}`
    this.#threads = new Threads(this.ort, { count: options.threads, nice: 0 })
    this.#kept = new KeptSessions(this.ort, options.engines)
  }

  get threads(): number {
    return this.#threads.count
  }

  async load(
    source: ModelSource,
    options: SessionOptions,
    onStep?: (what: string) => void,
  ): Promise<Session> {
    try {
      const first = await this.#openSession({ source, options, onStep }, await this.#plan(source, options))
      // Of the processor nothing is left to fall back to.
      if (first.providers.every(({ name }) => isCpu(name))) return first.session
      const again = { source, options: { ...options, mustHave: [] } }
      return new FailoverSession({
        id: options.id,
        first,
        reopen: (providers) => this.#openSession(again, providers),
        shownName: (name) => shownName(this.ort, name),
        now: () => performance.now(),
        log: this.#log,
      })
    } catch (error) {
      if (error instanceof EdgeError) throw error
      const from = 'path' in source ? ` from "${source.path}"` : ''
      throw new EdgeError('model_invalid', `Cannot load "${options.id}"${from}: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  /** On those of the wanted providers that take it. */
  async #openSession(
    of: Omit<Attempt, 'providers'>,
    wanted: readonly ProviderChoice[],
  ): Promise<OpenedSession> {
    const { options } = of
    const open = (some: readonly ProviderChoice[]) =>
      this.#kept.open({ ...of, providers: some }, (one) => this.#create(one))
    const opened = await openWithFallback(wanted, open, options.mustHave)
    const { session: created, refusals } = opened
    const named = [...opened.providers.map(({ name }) => shownName(this.ort, name)), providerFullName('cpu')]
    const providers = [...new Set(named)]
    for (const refusal of refusals)
      this.#log.warn('runtime.provider_refused', { session: options.id, ...refusal, instead: providers })
    const isFixed = opened.providers.some(playsGraphs)
    const bindsMemory = isFixed || (options.gpu?.bindsMemory ?? true)
    const session = this.#wrap({ ...created, id: options.id, providers, refusals, bindsMemory, isFixed })
    this.#tellIdle(session, options.id)
    return { session, providers: opened.providers }
  }

  async wouldBuild(source: ModelSource, options: SessionOptions): Promise<boolean> {
    // What is wrong with its settings is for the load to say.
    const providers = await this.#plan(source, options).catch(() => [])
    return await this.#kept.wouldBuild({ source, options, providers })
  }

  async build(source: ModelSource, options: SessionOptions, onStep: (what: string) => void): Promise<void> {
    const session = await this.load(source, options, onStep)
    const [refusal] = session.refusals
    await session.close()
    await this.settle()
    if (refusal !== undefined)
      throw new EdgeError(
        'model_invalid',
        `Cannot build "${options.id}": ${refusal.provider}: ${refusal.reason}`,
      )
  }

  /** Waits until everything that is made of models is kept. */
  settle(): Promise<void> {
    return this.#kept.settle()
  }

  /** After the last session is closed. */
  async stop(): Promise<void> {
    await this.settle()
    await this.#threads.stop()
    await this.#loader?.stop()
    await this.#niceLoader?.stop()
    // An engine that is still being built ends with the process: nothing stops it, and nobody waits for it.
    if (this.#builder?.pending === 0) await this.#builder.stop()
  }

  /** Where runs want all cores, loading beside them is to take less than its share: it slows every one of them. */
  #loaderFor({ options, providers, isBuild }: Attempt): Threads {
    const { threadsIntraOp, threadsInterOp } = options
    if (isBuild === true) {
      this.#builder ??= new Threads(this.ort, { count: 1, nice: 0 })
      return this.#builder
    }
    const hasNoThreads =
      threadsIntraOp === 1 && threadsInterOp === 1 && providers.every(({ name }) => isCpu(name))
    if (hasNoThreads) {
      this.#niceLoader ??= new Threads(this.ort, { count: 1, nice: LOADER_NICE })
      return this.#niceLoader
    }
    this.#loader ??= new Threads(this.ort, { count: 1, nice: 0 })
    return this.#loader
  }

  #tellIdle(session: Session, id: string): void {
    const idle = idleProviders(session)
    if (idle.length > 0)
      this.#log.warn('runtime.provider_without_nodes', { session: id, idle, placement: session.placement })
  }

  #wrap(parts: Omit<OrtSessionParts, 'ort' | 'threads'>): OrtSession {
    try {
      return new OrtSession({ ort: this.ort, threads: this.#threads, ...parts })
    } catch (error) {
      this.ort.functions.ReleaseSession(parts.handle)
      parts.onClosed()
      throw error
    }
  }

  /** The providers that are wanted, with what the model's settings make of their options. */
  #plan(source: ModelSource, options: SessionOptions): Promise<readonly ProviderChoice[]> {
    const nameOf = (name: string) => shownName(this.ort, name)
    const look = () => this.#look(source, options)
    return planProviders({ source, options, device: this.providers, nameOf, look })
  }

  /** As the model is, without an engine being built for it. */
  async #look(source: ModelSource, options: SessionOptions): Promise<Signature | undefined> {
    const bare = { ...options, graphOptimization: 'none', memoryArena: false } as const
    const attempt = { source, options: bare, providers: [] }
    const handle = await this.#create(attempt).catch(() => 0)
    if (handle === 0) return undefined
    try {
      return readSignature(this.ort, handle)
    } finally {
      await this.#loaderFor(attempt).call('ReleaseSession', [handle])
    }
  }

  /** An `OrtSession` that runs on exactly these. */
  async #create(attempt: Attempt): Promise<Address> {
    const { source, options } = attempt
    const scope = new Scope()
    const handle = createSessionOptions(this.ort, options, attempt)
    try {
      const loader = this.#loaderFor(attempt)
      return await this.#createSession(source, handle, { scope, loader })
    } finally {
      this.ort.functions.ReleaseSessionOptions(handle)
      scope.end()
    }
  }

  async #createSession(
    source: ModelSource,
    options: Address,
    { scope, loader }: { scope: Scope; loader: Threads },
  ): Promise<Address> {
    const out = scope.memory(8)
    const { environment } = this.ort
    const outcome =
      'path' in source
        ? await loader.call('CreateSession', [environment, scope.string(source.path), options, out.address])
        : await loader.call('CreateSessionFromArray', [
            environment,
            addressOf(scope.hold(source.bytes)),
            source.bytes.byteLength,
            options,
            out.address,
          ])
    this.ort.check(outcome.status)
    return out.word(0)
  }
}
