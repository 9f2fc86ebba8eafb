import { assert, present } from '../../kit/assert.ts'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { RunRequest, RunResult, Tensor } from '../../runtime/backend.ts'
import type { LaneRequest, LaneResult } from '../job.ts'
import type { PlannedStep } from './plan.ts'

/** A lane as a step needs it. */
export interface StepLane {
  readonly id: string
  infer(request: LaneRequest): Promise<LaneResult>
  /** Answers until what is returned is called, also while it drains. */
  hold(): () => void
}

interface Parts {
  /** Of the ensemble: "model/version". */
  readonly id: string
  readonly plan: readonly PlannedStep[]
  /** One for each step of the plan. */
  readonly lanes: readonly StepLane[]
  readonly request: RunRequest
  readonly clock: Clock
}

interface Kept {
  readonly result: LaneResult
  /** Steps that still read it, and the answer. */
  users: number
}

/**
 * One request on its way through an ensemble. A step runs as soon as what it reads is there; what a step gave lives in
 * the runtime's memory until the last step that reads it is done, or the answer is given back. After the first failure
 * no more is begun, what runs is cancelled, and once it has ended everything is given back.
 */
export class EnsembleRun {
  readonly #parts: Parts
  readonly #beganMs: number
  /** By the ensemble's names. Those of steps point into memory of the runtime. */
  readonly #tensors: Map<string, Tensor>
  readonly #kept = new Map<number, Kept>()
  readonly #waitsFor: number[]
  readonly #holds: (() => void)[]
  readonly #stop = new AbortController()
  readonly #ended = Promise.withResolvers<void>()
  #running = 0
  #failure: { readonly error: unknown } | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.#beganMs = parts.clock.elapsed()
    this.#tensors = new Map(parts.request.inputs.map((tensor) => [tensor.name, tensor]))
    this.#waitsFor = parts.plan.map(({ waitsFor }) => waitsFor)
    // A version that is replaced meanwhile answers the steps of this request all the same.
    this.#holds = parts.lanes.map((lane) => lane.hold())
  }

  /** Once. */
  async run(): Promise<RunResult> {
    const { plan, request, clock } = this.#parts
    const stop = () => this.#stop.abort()
    request.signal?.addEventListener('abort', stop, { once: true })
    if (request.signal?.aborted) stop()
    for (const [place, { waitsFor }] of plan.entries()) if (waitsFor === 0) void this.#runStep(place)
    if (plan.length === 0) this.#ended.resolve()
    await this.#ended.promise
    request.signal?.removeEventListener('abort', stop)
    for (const release of this.#holds) release()
    if (this.#failure !== undefined) {
      for (const place of [...this.#kept.keys()]) this.#release(place)
      throw this.#failure.error
    }
    return {
      outputs: request.outputs.map((name) => present(this.#tensors.get(name), `"${name}" was made`)),
      runMs: clock.elapsed() - this.#beganMs,
      release: () => this.#releaseAnswer(),
    }
  }

  async #runStep(place: number): Promise<void> {
    this.#running += 1
    try {
      const lane = present(this.#parts.lanes[place], 'each step has a lane')
      this.#take(place, await lane.infer(this.#requestOf(place)))
    } catch (error) {
      this.#fail(place, error)
    }
    // Only now: until then its run may have been reading.
    for (const [producer, { readers }] of this.#parts.plan.entries()) {
      if (readers.includes(place)) this.#letGo(producer)
    }
    this.#running -= 1
    if (this.#running === 0) this.#ended.resolve()
  }

  #requestOf(place: number): LaneRequest {
    const { plan, request, clock } = this.#parts
    const { step, outputs } = present(plan[place], 'a step is in the plan')
    const inputs = Object.entries(step.inputs).flatMap(([name, from]) => {
      const tensor = this.#tensors.get(from)
      // An optional input of the ensemble that did not come is none of the step's either.
      return tensor === undefined ? [] : [{ ...tensor, name }]
    })
    const { priority, timeoutMs = 0, isVolatile, sequence } = request.wishes ?? {}
    // What is left of the client's time; never 0, which would be all the time there is.
    const leftMs = timeoutMs === 0 ? 0 : Math.max(0.001, timeoutMs - (clock.elapsed() - this.#beganMs))
    const wishes = { priority, timeoutMs: leftMs, isVolatile, sequence }
    return { inputs, outputs, signal: this.#stop.signal, ...wishes, isHeld: true }
  }

  #take(place: number, result: LaneResult): void {
    const { step, outputs, readers, isAnswer } = present(this.#parts.plan[place], 'a step is in the plan')
    this.#kept.set(place, { result, users: readers.length + (isAnswer ? 1 : 0) })
    if (this.#failure !== undefined) return
    for (const [index, output] of outputs.entries()) {
      const name = present(step.outputs[output], 'an output that is asked for has a name')
      this.#tensors.set(name, { ...present(result.outputs[index], 'a lane answers what it was asked'), name })
    }
    for (const reader of readers) {
      const left = present(this.#waitsFor[reader], 'a reader is in the plan') - 1
      this.#waitsFor[reader] = left
      if (left === 0) void this.#runStep(reader)
    }
  }

  #letGo(place: number): void {
    const kept = this.#kept.get(place)
    if (kept === undefined) return
    kept.users -= 1
    if (kept.users === 0) this.#release(place)
  }

  #release(place: number): void {
    const kept = present(this.#kept.get(place), 'a result is released once')
    this.#kept.delete(place)
    kept.result.release()
  }

  #releaseAnswer(): void {
    for (const [place, { isAnswer }] of this.#parts.plan.entries()) if (isAnswer) this.#letGo(place)
    assert(this.#kept.size === 0, 'nothing is kept after the answer')
  }

  /** The first one counts: those that it made fail say only that they were cancelled. */
  #fail(place: number, error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error: this.#nameStep(place, error) }
    this.#stop.abort()
  }

  #nameStep(place: number, error: unknown): unknown {
    if (!(error instanceof EdgeError)) return error
    const { id, plan, lanes } = this.#parts
    const step = `step ${(plan[place]?.index ?? 0) + 1} ("${lanes[place]?.id}")`
    return new EdgeError(error.code, `Cannot infer with "${id}": ${step}: ${error.message}`, { cause: error })
  }
}
