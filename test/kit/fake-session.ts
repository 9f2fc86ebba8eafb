import { DEFAULT_LIFE } from '../../src/inference/life.ts'
import type { Scheduling } from '../../src/inference/scheduling.ts'
import { NO_WARM_UP } from '../../src/inference/warm-up.ts'
import type {
  Backend,
  ModelMetadata,
  ModelSource,
  PlacedNodes,
  ProviderRefusal,
  RunRequest,
  RunResult,
  Session,
  SessionOptions,
  Signature,
  Tensor,
  TensorSpec,
} from '../../src/runtime/backend.ts'
import type { Datatype } from '../../src/runtime/datatypes.ts'
import { SESSION_OPTIONS } from './session-options.ts'

export function spec(name: string, datatype: Datatype, shape: readonly number[] | undefined): TensorSpec {
  return { name, datatype, shape, symbols: shape?.map(() => '') ?? [], isOptional: false }
}

export function tensor(name: string, datatype: Datatype, shape: number[], bytes: ArrayLike<number>): Tensor {
  return { name, datatype, shape, bytes: Uint8Array.from(bytes) }
}

const ECHO: Signature = {
  inputs: [spec('INPUT0', 'UINT8', [-1])],
  outputs: [spec('OUTPUT0', 'UINT8', [-1])],
  unsupportedOutputs: [],
}

interface Held {
  readonly finish: () => void
  readonly fail: (error: Error) => void
}

/** Answers with its first input. While `isHeld`, a run on a thread ends when the test says so. */
export class FakeSession implements Session {
  readonly signature: Signature
  readonly metadata: ModelMetadata = {
    producer: '',
    graph: '',
    domain: '',
    description: '',
    version: undefined,
    custom: {},
  }
  providers: readonly string[] = ['cpu']
  refusals: readonly ProviderRefusal[] = []
  placement: readonly PlacedNodes[] | undefined
  /** What was asked of it, and from where, in order. */
  readonly runs: { readonly place: 'thread' | 'inline'; readonly request: RunRequest }[] = []
  isHeld = false
  arenaBytes: number | undefined = 0
  /** What the next runs say that they took. */
  runMs = 1
  /** Of it on the processor, where that is measured. Undefined: all of it. */
  busyMs: number | undefined
  /** What the next runs in line throw. */
  inlineError: Error | undefined
  released = 0
  closed = 0
  readonly #held: Held[] = []

  constructor(signature: Signature = ECHO) {
    this.signature = signature
  }

  run(request: RunRequest): Promise<RunResult> {
    this.runs.push({ place: 'thread', request })
    if (!this.isHeld) return Promise.resolve(this.#answer({ ...request, isMeasured: true }))
    return new Promise((resolve, fail) => {
      this.#held.push({ finish: () => resolve(this.#answer({ ...request, isMeasured: true })), fail })
    })
  }

  runInline(request: RunRequest): RunResult {
    this.runs.push({ place: 'inline', request })
    if (this.inlineError !== undefined) throw this.inlineError
    return this.#answer(request)
  }

  close(): Promise<void> {
    this.closed += 1
    return Promise.resolve()
  }

  /** Ends the oldest run that is held. */
  finish(): void {
    this.#take().finish()
  }

  /** Ends the newest run that is held. */
  finishLast(): void {
    this.#held.reverse()
    this.finish()
    this.#held.reverse()
  }

  fail(error: Error): void {
    this.#take().fail(error)
  }

  #take(): Held {
    const held = this.#held.shift()
    if (held === undefined) throw new Error('No run is held')
    return held
  }

  #answer(request: RunRequest): RunResult {
    const [first] = request.inputs
    const outputs = request.outputs.map(
      (name): Tensor => ({ ...(first ?? tensor(name, 'UINT8', [0], [])), name }),
    )
    let isReleased = false
    const release = () => {
      if (isReleased) throw new Error('Released twice')
      isReleased = true
      this.released += 1
    }
    const busyMs = request.isMeasured ? (this.busyMs ?? this.runMs) : undefined
    return { outputs, runMs: this.runMs, busyMs, release }
  }
}

/** Loads the session that the test has put under "model/version". */
export class FakeBackend implements Backend {
  readonly name = 'fake 1'
  readonly sessions = new Map<string, FakeSession | Error | Promise<FakeSession>>()

  async load(_source: ModelSource, { id }: SessionOptions): Promise<Session> {
    const session = await this.sessions.get(id)
    if (session instanceof FakeSession) return session
    throw session ?? new Error(`There is no ${id}`)
  }
}

/** Each request by itself, no timeouts, unless told otherwise. */
export function scheduling(options: Partial<Scheduling> = {}): Scheduling {
  const defaultPolicy = {
    timeoutMs: 0,
    timeoutAction: 'reject',
    mayOverrideTimeout: false,
    itemsMax: 2,
  } as const
  return {
    batchSizeMax: 0,
    isDynamic: false,
    preferredBatchSizes: [],
    queueDelayMsMax: 0,
    preserveOrdering: false,
    priorityLevels: 1,
    defaultPriorityLevel: 1,
    defaultPolicy,
    policies: new Map(),
    ...options,
  }
}

/** What `Lanes.load` takes, for a model of the fake backend. */
export function lanePlan(model: string, version: string) {
  const session = { ...SESSION_OPTIONS, id: `${model}/${version}` }
  const plan = {
    scheduling: scheduling(),
    instances: 0,
    expected: { max_batch_size: 0, inputs: [], outputs: [] },
    warmUp: NO_WARM_UP,
    fileBytes: 0,
    life: DEFAULT_LIFE,
  }
  return { model, version, source: { bytes: new Uint8Array(0) }, session, ...plan }
}
