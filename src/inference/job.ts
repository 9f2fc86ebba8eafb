import { EdgeError } from '../kit/errors.ts'
import type { RunRequest, Tensor } from '../runtime/backend.ts'
import type { SequencePart } from './sequences/plan.ts'
import type { FailureReason, RequestTimes } from './statistics.ts'

export interface LaneRequest {
  readonly inputs: readonly Tensor[]
  /** All outputs of the model when undefined. */
  readonly outputs: readonly string[] | undefined
  readonly signal: AbortSignal | undefined
  /** 0 or undefined: the model's default. 1 is served first. */
  readonly priority?: number | undefined
  /** Of the client's own; counts where the model's policy lets it shorten the time. */
  readonly timeoutMs?: number | undefined
  /** Its bytes may change while it is answered: they lie in memory that a client shares. */
  readonly isVolatile?: boolean | undefined
  /** The sequence that it belongs to; only some models ask for one. */
  readonly sequence?: SequencePart | undefined
  /** Whoever asks has a hold on the lane, so it is answered also while the lane drains. */
  readonly isHeld?: boolean
}

export interface LaneResult {
  readonly outputs: readonly Tensor[]
  /** Undefined where nothing was run for it. */
  readonly times?: RequestTimes | undefined
  /** The outputs' bytes are gone after this. Must be called once. */
  release(): void
}

/** A request between its arrival and its answer. */
export interface Job {
  readonly run: RunRequest
  readonly batchSize: number
  readonly batchKey: string
  readonly arrivedMs: number
  readonly level: number
  readonly deadlineMs: number
  readonly resolve: (result: LaneResult) => void
  readonly reject: (error: unknown) => void
}

export function inputBytes({ inputs }: Pick<RunRequest, 'inputs'>): number {
  let bytes = 0
  for (const tensor of inputs) bytes += tensor.bytes.byteLength
  return bytes
}

export function keyOf({ inputs, outputs }: RunRequest): string {
  const parts = inputs.map(({ name, datatype, shape }) => `${name} ${datatype} ${shape.slice(1).join()}`)
  return `${parts.join(';')}>${outputs.join()}`
}

/** A client may only shorten what the model's policy says, and only where it may at all. */
export function timeoutOf(
  request: LaneRequest,
  policy: { timeoutMs: number; mayOverrideTimeout: boolean },
): number {
  const own = policy.mayOverrideTimeout ? (request.timeoutMs ?? 0) : 0
  const limits = [policy.timeoutMs, own].filter((ms) => ms > 0)
  return limits.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...limits)
}

export function reasonOf(error: unknown): FailureReason {
  if (!(error instanceof EdgeError)) return 'OTHER'
  if (error.code === 'cancelled') return 'CANCELED'
  return error.code === 'runtime_failed' ? 'BACKEND' : 'OTHER'
}
