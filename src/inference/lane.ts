import { assert } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import type { RunRequest, RunResult, Session, Tensor } from '../runtime/backend.ts'
import { checkInputs, chooseOutputs } from './check.ts'
import { BoundedQueue } from './queue.ts'
import { RunPlace } from './run-place.ts'

export interface LaneOptions {
  readonly model: string
  readonly version: string
  readonly session: Session
  readonly clock: Clock
  readonly queueItemsMax: number
  /** Runs of this lane at once. */
  readonly runsMax: number
  /** False for sessions on a GPU, whose runs must never hold up the main thread. */
  readonly mayRunInline: boolean
}

export interface LaneRequest {
  readonly inputs: readonly Tensor[]
  /** All outputs of the model when undefined. */
  readonly outputs: readonly string[] | undefined
  readonly signal: AbortSignal | undefined
}

export interface LaneResult extends RunResult {
  readonly queueMs: number
}

interface Waiting {
  readonly start: () => void
}

/** One version of one model being served: its queue, its session, and how many run at once. */
export class Lane {
  readonly model: string
  readonly version: string
  readonly session: Session
  readonly #options: LaneOptions
  readonly #queue: BoundedQueue<Waiting>
  readonly #place = new RunPlace()
  #running = 0
  /** Results that were handed out and not released yet. */
  #unreleased = 0
  #isDraining = false
  #onEmpty: (() => void) | undefined

  constructor(options: LaneOptions) {
    this.model = options.model
    this.version = options.version
    this.session = options.session
    this.#options = options
    this.#queue = new BoundedQueue(options.queueItemsMax)
  }

  /** "model/version" */
  get id(): string {
    return `${this.model}/${this.version}`
  }

  get queued(): number {
    return this.#queue.size
  }

  async infer(request: LaneRequest): Promise<LaneResult> {
    if (this.#isDraining)
      throw new EdgeError('model_unavailable', `Cannot infer with "${this.id}": it is being unloaded`)
    const claim = { lane: this.id, signature: this.session.signature }
    checkInputs(claim, request.inputs)
    const run: RunRequest = { ...request, outputs: chooseOutputs(claim, request.outputs) }

    const arrived = this.#options.clock.elapsed()
    if (this.#running >= this.#options.runsMax) await this.#waitForTurn(request.signal)
    else this.#running += 1
    const queueMs = this.#options.clock.elapsed() - arrived

    this.#unreleased += 1
    try {
      const result = await this.#run(run)
      return { ...result, queueMs, release: () => this.#released(result) }
    } catch (error) {
      this.#unreleased -= 1
      throw error
    } finally {
      this.#endRun()
    }
  }

  /** Takes no more requests, waits for those it has, and releases the session. */
  async close(): Promise<void> {
    assert(!this.#isDraining, 'a lane is closed once')
    this.#isDraining = true
    if (this.#running > 0 || this.#unreleased > 0) await new Promise<void>((empty) => (this.#onEmpty = empty))
    await this.session.close()
  }

  async #run(run: RunRequest): Promise<RunResult> {
    const isInline = this.#options.mayRunInline && this.#place.isInline(inputBytes(run))
    const result = isInline ? this.session.runInline(run) : await this.session.run(run)
    this.#place.learn(result.runMs)
    return result
  }

  #waitForTurn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (this.#queue.remove(waiting))
          reject(new EdgeError('cancelled', `Cannot infer with "${this.id}": cancelled`))
      }
      const waiting: Waiting = {
        start: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      if (!this.#queue.push(waiting)) {
        const { size, itemsMax } = this.#queue
        reject(
          new EdgeError(
            'queue_full',
            `Cannot infer with "${this.id}": queue holds ${size}, at most ${itemsMax}`,
          ),
        )
        return
      }
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** The next in the queue takes over the place, so the count stays. */
  #endRun(): void {
    const next = this.#queue.shift()
    if (next !== undefined) next.start()
    else this.#running -= 1
    this.#signalEmpty()
  }

  #released(result: RunResult): void {
    result.release()
    this.#unreleased -= 1
    this.#signalEmpty()
  }

  #signalEmpty(): void {
    if (this.#running === 0 && this.#unreleased === 0) this.#onEmpty?.()
  }
}

function inputBytes(run: RunRequest): number {
  let bytes = 0
  for (const tensor of run.inputs) bytes += tensor.bytes.byteLength
  return bytes
}
