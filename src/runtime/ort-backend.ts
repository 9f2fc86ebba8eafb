import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Backend, ModelSource, Session, SessionOptions } from './backend.ts'
import { type Address, addressOf, Scope } from './memory.ts'
import { Ort } from './ort.ts'
import { OrtSession } from './ort-session.ts'
import { providerFullName } from './providers.ts'
import { createSessionOptions } from './session-options.ts'
import { Threads } from './threads.ts'

/** A third of the weight of a run thread (sched(7)): under full load, loading takes longer and runs hardly notice. */
const LOADER_NICE = 5

/** ONNX Runtime through its C ABI: one library, `threads` threads that run, one that loads. */
export class OrtBackend implements Backend {
  readonly name: string
  readonly ort: Ort
  readonly #threads: Threads
  /** Loading takes seconds, with TensorRT minutes: it must not take a thread from the runs. Made when first needed. */
  #loader: Threads | undefined
  /** The same for sessions without threads of their own, which would be as nice as the thread that made them. */
  #niceLoader: Threads | undefined

  constructor(options: { libraryPath: string; threads: number }) {
    this.ort = new Ort(options.libraryPath)
    this.name = `onnxruntime ${this.ort.version}`
    this.#threads = new Threads(this.ort, { count: options.threads, nice: 0 })
  }

  get threads(): number {
    return this.#threads.count
  }

  async load(source: ModelSource, options: SessionOptions): Promise<Session> {
    const scope = new Scope()
    const handles: { options?: Address; session?: Address } = {}
    try {
      handles.options = createSessionOptions(this.ort, options)
      handles.session = await this.#createSession(source, handles.options, {
        scope,
        loader: this.#loaderFor(options),
      })
      const providers = options.providers.map(({ name }) => providerFullName(name))
      return new OrtSession({
        ort: this.ort,
        threads: this.#threads,
        handle: handles.session,
        id: options.id,
        providers,
      })
    } catch (error) {
      if (handles.session !== undefined) this.ort.functions.ReleaseSession(handles.session)
      if (error instanceof EdgeError) throw error
      const from = 'path' in source ? ` from "${source.path}"` : ''
      throw new EdgeError('model_invalid', `Cannot load "${options.id}"${from}: ${messageOf(error)}`, {
        cause: error,
      })
    } finally {
      if (handles.options !== undefined) this.ort.functions.ReleaseSessionOptions(handles.options)
      scope.end()
    }
  }

  /** After the last session is closed. */
  async stop(): Promise<void> {
    await this.#threads.stop()
    await this.#loader?.stop()
    await this.#niceLoader?.stop()
  }

  /** Where runs want all cores, loading beside them is to take less than its share: it slows every one of them. */
  #loaderFor({ threadsIntraOp, threadsInterOp, providers }: SessionOptions): Threads {
    const hasNoThreads =
      threadsIntraOp === 1 && threadsInterOp === 1 && providers.every(({ name }) => name === 'cpu')
    if (hasNoThreads) {
      this.#niceLoader ??= new Threads(this.ort, { count: 1, nice: LOADER_NICE })
      return this.#niceLoader
    }
    this.#loader ??= new Threads(this.ort, { count: 1, nice: 0 })
    return this.#loader
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
