import { assert } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import { arenaBytes } from './arena.ts'
import type {
  ModelMetadata,
  PlacedNodes,
  ProviderRefusal,
  RunRequest,
  RunResult,
  Session,
  Signature,
} from './backend.ts'
import { BoundCall } from './bound-call.ts'
import { type DeviceMemory, findDeviceMemory } from './device-memory.ts'
import { FixedCall, FixedPlaces, fixedProblems } from './fixed-call.ts'
import { type Address, Scope } from './memory.ts'
import type { Ort } from './ort.ts'
import { OrtError } from './ort-error.ts'
import { readPlacement } from './placement.ts'
import { RunCall, type RunTarget, type SessionCall } from './run-call.ts'
import { readMetadata, readSignature } from './signature.ts'
import { findClash } from './symbols.ts'
import { threadMs } from './thread-time.ts'
import type { CallOutcome, Threads } from './threads.ts'

/** Calls kept for reuse; more are made when more are under way at once, and thrown away afterwards. */
const SPARE_CALLS_MAX = 64

export interface OrtSessionParts {
  readonly ort: Ort
  readonly threads: Threads
  readonly handle: Address
  /** Called when the session is closed. */
  readonly onClosed: () => void
  readonly id: string
  readonly providers: readonly string[]
  readonly refusals: readonly ProviderRefusal[]
  /** What goes in and out passes through memory that the device reads and writes, where it has such. */
  readonly bindsMemory: boolean
  /** A provider plays what it has done once again, on the same addresses: a CUDA graph. */
  readonly isFixed: boolean
}

/** One `OrtSession`, shared by all threads: `Run` is thread-safe, and the weights are in memory once. */
export class OrtSession implements Session {
  readonly signature: Signature
  readonly metadata: ModelMetadata
  readonly providers: readonly string[]
  readonly refusals: readonly ProviderRefusal[]
  readonly placement: readonly PlacedNodes[] | undefined
  readonly #parts: OrtSessionParts
  readonly #names = new Scope()
  readonly #target: RunTarget
  readonly #spare: SessionCall[] = []
  readonly #memory: DeviceMemory | undefined
  /** The same addresses for every run, where a provider plays a run again. */
  readonly #places: FixedPlaces | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #active = 0
  #isClosed = false

  constructor(parts: OrtSessionParts) {
    this.#parts = parts
    this.providers = parts.providers
    this.refusals = parts.refusals
    this.placement = readPlacement(parts.ort, parts.handle, parts.providers)
    this.signature = readSignature(parts.ort, parts.handle)
    this.metadata = readMetadata(parts.ort, parts.handle)
    this.#memory = parts.bindsMemory ? findDeviceMemory(parts.ort, parts.handle, this.signature) : undefined
    const addresses = (specs: readonly { name: string }[]) =>
      new Map(specs.map(({ name }) => [name, this.#names.string(name)]))
    this.#target = {
      ort: parts.ort,
      session: parts.handle,
      inputNames: addresses(this.signature.inputs),
      outputNames: addresses(this.signature.outputs),
    }
    this.#places = parts.isFixed ? this.#fixPlaces() : undefined
  }

  #fixPlaces(): FixedPlaces {
    const memory = this.#memory
    const problems = fixedProblems(this.signature, memory)
    if (memory !== undefined && problems.length === 0)
      return new FixedPlaces(this.#target, memory, this.signature)
    memory?.release()
    const why = problems.join('; ')
    throw new EdgeError('model_invalid', `Cannot load "${this.#parts.id}" with a CUDA graph: ${why}`)
  }

  /** Fixed places are for one run at a time. */
  get runsMax(): number | undefined {
    return this.#places === undefined ? undefined : 1
  }

  async run(request: RunRequest): Promise<RunResult> {
    const call = this.#begin(request)
    const cancel = () => call.terminate()
    request.signal?.addEventListener('abort', cancel, { once: true })
    try {
      const running = this.#places === undefined ? this.#call(call) : this.#callInTurn(call)
      return this.#finish(call, request, await running)
    } catch (error) {
      this.#end(call)
      throw error
    } finally {
      request.signal?.removeEventListener('abort', cancel)
    }
  }

  runInline(request: RunRequest): RunResult {
    const call = this.#begin(request)
    try {
      return this.#finish(call, request, this.#runHere(call, request))
    } catch (error) {
      this.#end(call)
      throw error
    }
  }

  get arenaBytes(): number | undefined {
    // Also asked about while it is on its way out.
    if (this.#isClosed) return undefined
    return arenaBytes(this.#parts.ort, this.#parts.handle)
  }

  async close(): Promise<void> {
    assert(this.#active === 0, 'a session is closed after its last run has ended')
    this.#isClosed = true
    for (const call of this.#spare.splice(0)) call.destroy()
    this.#places?.destroy()
    this.#memory?.release()
    await this.#parts.threads.call('ReleaseSession', [this.#parts.handle])
    this.#names.end()
    this.#parts.onClosed()
  }

  #call({ operation, args }: SessionCall): Promise<CallOutcome> {
    return this.#parts.threads.call(operation, args)
  }

  /** There is one set of places, whoever asks for several runs at once. */
  #callInTurn(call: SessionCall): Promise<CallOutcome> {
    const mine = this.#turn.then(() => this.#call(call))
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  #newCall(): SessionCall {
    const [memory, places, signature] = [this.#memory, this.#places, this.signature]
    if (memory === undefined) return new RunCall(this.#target)
    return places === undefined
      ? new BoundCall(this.#target, memory)
      : new FixedCall(this.#target, memory, { places, signature })
  }

  #begin(request: RunRequest): SessionCall {
    if (request.signal?.aborted)
      throw new EdgeError('cancelled', `Cannot run "${this.#parts.id}": cancelled before`)
    const call = this.#spare.pop() ?? this.#newCall()
    this.#active += 1
    try {
      call.prepare(request)
      return call
    } catch (error) {
      this.#end(call)
      throw this.#asEdgeError(request, error)
    }
  }

  #runHere(call: SessionCall, { isMeasured }: RunRequest): CallOutcome {
    const busyFrom = isMeasured ? threadMs() : undefined
    const began = performance.now()
    const status = call.runInline()
    const tookMs = performance.now() - began
    return { status, tookMs, busyMs: busyFrom === undefined ? undefined : threadMs() - busyFrom }
  }

  #finish(call: SessionCall, request: RunRequest, outcome: CallOutcome): RunResult {
    try {
      this.#parts.ort.check(outcome.status)
      const outputs = call.collect()
      const { tookMs, busyMs } = outcome
      return { outputs, runMs: tookMs, busyMs, release: this.#releaseOnce(call) }
    } catch (error) {
      if (request.signal?.aborted) {
        throw new EdgeError('cancelled', `Cannot finish the run of "${this.#parts.id}": cancelled`, {
          cause: error,
        })
      }
      throw this.#asEdgeError(request, error)
    }
  }

  #releaseOnce(call: SessionCall): () => void {
    let isReleased = false
    return () => {
      assert(!isReleased, 'a result is released once')
      isReleased = true
      this.#end(call)
    }
  }

  #end(call: SessionCall): void {
    this.#active -= 1
    if (this.#spare.length < SPARE_CALLS_MAX) {
      call.clear()
      this.#spare.push(call)
    } else {
      call.destroy()
    }
  }

  /**
   * Kernels say INVALID_ARGUMENT when they meet values that no signature can rule out, like an index out of range. Where
   * they say something else, inputs that contradict each other are the client's fault too.
   */
  #asEdgeError({ inputs }: RunRequest, error: unknown): Error {
    if (!(error instanceof OrtError)) return error instanceof Error ? error : new Error(String(error))
    const clash = findClash(this.signature, inputs)
    const isOfClient = error.code === 'INVALID_ARGUMENT' || clash !== undefined
    const says = `ONNX Runtime says ${error.code}: ${error.message}`
    return new EdgeError(
      isOfClient ? 'input_invalid' : 'runtime_failed',
      `Cannot run "${this.#parts.id}": ${clash === undefined ? says : `${clash}; ${says}`}`,
      { cause: error },
    )
  }
}
