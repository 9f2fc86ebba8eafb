import type { Clock } from '../../kit/clock.ts'
import type { RunRequest, RunResult, Session, Tensor } from '../../runtime/backend.ts'
import { splitOutputs } from '../batch-tensors.ts'
import { inputBytes } from '../job.ts'
import type { RunPlace } from '../run-place.ts'
import type { RequestTimes } from '../statistics.ts'
import type { SequenceModel } from './plan.ts'
import { type Item, joinItems, type RunShape } from './tensors.ts'

export interface RunnerOptions {
  /** "model/version" */
  readonly id: string
  /** The model's own, states and controls included. */
  readonly session: Session
  readonly model: SequenceModel
  readonly clock: Clock
  readonly mayRunInline: boolean
  readonly place: RunPlace
}

export interface RunOutcome {
  readonly result: RunResult
  /** By place: what the client wants, and the states. Views into the result. */
  readonly shares: readonly (readonly Tensor[])[]
  readonly times: Omit<RequestTimes, 'queueMs'>
}

/** One run of requests of several sequences: joined, run, cut apart. */
export class SequenceRunner {
  readonly #options: RunnerOptions
  readonly #shape: RunShape

  constructor(options: RunnerOptions, shape: RunShape) {
    this.#options = options
    this.#shape = shape
  }

  /** By place; where there is no item the model is told so. */
  async run(items: readonly (Item | undefined)[]): Promise<RunOutcome> {
    const { clock, model, session, place } = this.#options
    const beganMs = clock.elapsed()
    const run = joinItems(items, model, this.#shape)
    const joinedMs = clock.elapsed()
    const result = this.#isInline(run) ? session.runInline(place.watched(run)) : await session.run(run)
    place.learn(result)
    const shares = this.#split(result, items.length)
    const outputMs = Math.max(0, clock.elapsed() - joinedMs - result.runMs)
    return { result, shares, times: { inputMs: joinedMs - beganMs, inferMs: result.runMs, outputMs } }
  }

  #isInline(run: RunRequest): boolean {
    return this.#options.mayRunInline && this.#options.place.isInline(inputBytes(run))
  }

  #split(result: RunResult, places: number): readonly (readonly Tensor[])[] {
    const total = Math.max(places, this.#shape.staticBatch)
    if (total === 1) return [result.outputs]
    const sizes = Array.from({ length: places }, () => 1)
    try {
      return splitOutputs(result.outputs, { lane: this.#options.id, sizes, total })
    } catch (error) {
      result.release()
      throw error
    }
  }
}
