import type { Datatype } from './datatypes.ts'
import type { GpuSettings } from './gpu-settings.ts'

/**
 * What the engine knows of a runtime: load a model, run it, let it go. ONNX Runtime is behind it today.
 */
export interface Backend {
  /** Like "onnxruntime 1.30.0". */
  readonly name: string
  /** `onStep` hears how far a load is that takes long. */
  load(source: ModelSource, options: SessionOptions, onStep?: (what: string) => void): Promise<Session>
  /** Whether loading it would have a provider compile the model first; that takes minutes. */
  wouldBuild?(source: ModelSource, options: SessionOptions): Promise<boolean>
  /** Has it compiled and kept, so that the next load finds it; fails where a provider that is wanted refuses it. */
  build?(source: ModelSource, options: SessionOptions, onStep: (what: string) => void): Promise<void>
}

/** A file on disk (external data is looked for beside it) or the model's bytes. */
export type ModelSource = { readonly path: string } | { readonly bytes: Uint8Array }

export interface SessionOptions {
  /** Names the session in logs: "model/version". */
  readonly id: string
  /** In this order; the runtime's CPU provider always comes last. Undefined leaves it to the runtime. */
  readonly providers: readonly ProviderChoice[] | undefined
  /** Of these providers none may refuse the model: the load fails instead. */
  readonly mustHave?: readonly string[] | undefined
  readonly threadsIntraOp: number
  readonly threadsInterOp: number
  readonly executionMode: 'sequential' | 'parallel'
  readonly graphOptimization: 'none' | 'basic' | 'extended' | 'all'
  /**
   * What is made of the model: "keep" it for the next time; use only what is "found", and do without a provider that would
   * have to compile the model first; or neither.
   */
  readonly engineCache: 'keep' | 'found' | 'off'
  readonly memoryArena: boolean
  readonly memoryPattern: boolean
  /** Symbolic dimensions that are to be fixed, by name. */
  readonly freeDimensions: Readonly<Record<string, number>>
  /** Entries of onnxruntime_session_options_config_keys.h. */
  readonly configEntries: Readonly<Record<string, string>>
  /** For those of its providers that run on a GPU. */
  readonly gpu?: GpuSettings | undefined
  /** Requests that may share a run, along the first dimension; 0 and undefined: it is none of a batch. */
  readonly batchSizeMax?: number
}

export interface ProviderChoice {
  /** "cpu", "cuda", "tensorrt", or the name that ONNX Runtime gives it. */
  readonly name: string
  readonly options: Readonly<Record<string, string>>
}

/** A provider that was wanted for a model and does not run it. */
export interface ProviderRefusal {
  readonly provider: string
  readonly reason: string
  /** It had taken it, and failed while it ran. */
  readonly hasFailed?: boolean
}

/** What has become of the providers of a session while it ran, counted since it was loaded. */
export interface ProviderFaults {
  /** Runs that failed by no fault of their requests. */
  readonly failedRuns: number
  /** Of those the ones that were answered after all, without the provider. */
  readonly repeatedRuns: number
  /** Times that a provider was taken from it. */
  readonly replacements: number
}

/** What one provider has of a model's graph. */
export interface PlacedNodes {
  /** As ONNX Runtime names it. */
  readonly provider: string
  readonly nodes: number
  /** What kinds of nodes, those with the most first. */
  readonly operators: readonly string[]
}

/** One tensor, row-major and little-endian. */
export interface Tensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** BYTES: each element as a uint32 length and that many bytes, as in the binary tensor extension. */
  readonly bytes: Uint8Array
}

export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** -1 where the model leaves a dimension open. Undefined where it leaves the rank open. */
  readonly shape: readonly number[] | undefined
  /** The names of open dimensions, "" where there is none; as long as `shape`. */
  readonly symbols: readonly string[]
  /** May be left out: the model has a value of its own. */
  readonly isOptional: boolean
}

/** An output that no tensor can hold, like the sequence(map(int64,float)) of a classifier from scikit-learn. */
export interface UnsupportedOutput {
  readonly name: string
  /** In ONNX Runtime's words: "sequence", "map", "sparse_tensor", "opaque". */
  readonly kind: string
}

export interface Signature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly unsupportedOutputs: readonly UnsupportedOutput[]
}

export interface ModelMetadata {
  readonly producer: string
  readonly graph: string
  readonly domain: string
  readonly description: string
  /** Undefined when the model does not say. */
  readonly version: number | undefined
  readonly custom: Readonly<Record<string, string>>
}

export interface RunRequest {
  /** Checked against the signature by the caller. Their bytes stay untouched until the run has ended. */
  readonly inputs: readonly Tensor[]
  /** Names of outputs, in the order they are wanted. */
  readonly outputs: readonly string[]
  /** Ends the run from outside; it then fails with `cancelled`. */
  readonly signal?: AbortSignal | undefined
  /** For sessions whose runs wait somewhere themselves, as those of ensembles do. */
  readonly wishes?: RunWishes | undefined
  /** In line, whether `busyMs` is wanted: on a worker thread it is always there. */
  readonly isMeasured?: boolean | undefined
}

/** What a request says beside its tensors. */
interface RunWishes {
  readonly priority?: number | undefined
  readonly timeoutMs?: number | undefined
  readonly isVolatile?: boolean | undefined
  readonly sequence?:
    | { readonly id: bigint | string; readonly isStart: boolean; readonly isEnd: boolean }
    | undefined
}

export interface RunResult {
  readonly outputs: readonly Tensor[]
  /** Time inside the runtime, milliseconds. */
  readonly runMs: number
  /** Processor time of the thread that it ran on: less than `runMs` where that was put aside. Undefined: not measured. */
  readonly busyMs?: number | undefined
  /** The outputs' bytes belong to the runtime and are gone after this. Must be called once. */
  release(): void
}

export interface Session {
  readonly signature: Signature
  readonly metadata: ModelMetadata
  /** Providers that were registered for it, in order. */
  readonly providers: readonly string[]
  /** Those that were wanted before them and refused it. */
  readonly refusals: readonly ProviderRefusal[]
  /** Which provider has how much of the graph, in their order; undefined where the runtime cannot say. */
  readonly placement: readonly PlacedNodes[] | undefined
  /** Runs at once, at most; undefined: as many as there are threads. */
  readonly runsMax?: number | undefined
  /** Undefined where it has none but the processor. */
  readonly faults?: ProviderFaults | undefined
  /** What it has taken of the main memory; undefined where the runtime cannot say. */
  readonly arenaBytes: number | undefined
  /** On a worker thread. */
  run(request: RunRequest): Promise<RunResult>
  /** On this thread, which stands still meanwhile: only for runs that are cheaper than a hop. */
  runInline(request: RunRequest): RunResult
  /** After the last run has ended. */
  close(): Promise<void>
}
