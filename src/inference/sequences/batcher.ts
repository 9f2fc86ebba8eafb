import { present } from '../../kit/assert.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import type { RunRequest, Tensor } from '../../runtime/backend.ts'
import { keyOf, type LaneResult, reasonOf } from '../job.ts'
import type { Scheduling } from '../scheduling.ts'
import type { FailureReason, Statistics } from '../statistics.ts'
import { type Sequence, SequenceBook } from './book.ts'
import { type Choice, chooseDirect, chooseOldest, instanceOf, positionOf, type Turn } from './choose.ts'
import { keyOfSequence, type SequenceModel, type SequencePart } from './plan.ts'
import { type RunnerOptions, type RunOutcome, SequenceRunner } from './runner.ts'
import { checkId, type Item, keepStates } from './tensors.ts'

export interface BatcherOptions extends RunnerOptions {
  readonly scheduling: Scheduling
  /** Runs at once: Triton's instances. */
  readonly runsMax: number
  readonly staticBatch: number
  readonly statistics: Statistics
}

/** A request between its arrival and its answer. */
interface Job extends Item {
  readonly key: string
  readonly isStart: boolean
  readonly isEnd: boolean
  readonly batchKey: string
  readonly arrivedMs: number
  readonly resolve: (result: LaneResult) => void
  readonly reject: (error: unknown) => void
}

type JobSequence = Sequence<Job, Tensor[]>

interface Taken {
  readonly sequence: JobSequence
  readonly job: Job
  /** Its place in the run. */
  readonly at: number
}

interface JobTurn extends Turn {
  readonly sequence: JobSequence
}

/**
 * Runs requests that belong to sequences: each sequence's one after the other, with the state that the one before
 * left, and those of several sequences together. What is decided is in `book` and `choose`.
 */
export class SequenceBatcher {
  readonly #options: BatcherOptions
  readonly #book: SequenceBook<Job, Tensor[]>
  readonly #runner: SequenceRunner
  readonly #hasBatch: boolean
  readonly #hasOpenStates: boolean
  /** The model is told which places are in use, so each slot has its own. */
  readonly #keepsPlaces: boolean
  /** Slots of one instance. */
  readonly #width: number
  /** Instances that run, where slots belong to them. */
  readonly #busy = new Set<number>()
  #isDraining = false
  #expired = 0
  #running = 0
  /** Results that were handed out and not released yet. */
  #unreleased = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Who wants to know when no sequence is left, or nothing at all. */
  #watchers: { readonly isMet: () => boolean; readonly tell: () => void }[] = []

  constructor(options: BatcherOptions) {
    this.#options = options
    const { model, scheduling, runsMax, staticBatch } = options
    const { strategy, idleMsMax } = model.plan
    this.#width = strategy.kind === 'direct' ? Math.max(1, scheduling.batchSizeMax) : strategy.candidatesMax
    this.#book = new SequenceBook({ slots: this.#width * runsMax, idleMsMax })
    this.#hasBatch = scheduling.batchSizeMax > 0
    this.#runner = new SequenceRunner(options, { hasBatch: this.#hasBatch, staticBatch })
    this.#hasOpenStates = model.states.some(({ dims }) => dims.includes(-1))
    this.#keepsPlaces = strategy.kind === 'direct' && model.controls.some(({ kind }) => kind === 'ready')
  }

  get model(): SequenceModel {
    return this.#options.model
  }

  get queued(): number {
    return this.#book.waiting
  }

  /** Sequences that are not over. */
  get size(): number {
    return this.#book.size
  }

  /** Sequences that were idle too long, since the start. */
  get expired(): number {
    return this.#expired
  }

  /** Whether a request of that sequence would go on with it. */
  isOpen(sequence: SequencePart): boolean {
    return this.#book.isOpen(keyOfSequence(sequence))
  }

  /** The request has been held against the model already, as far as clients see it. */
  infer(run: RunRequest, part: SequencePart | undefined, arrivedMs: number): Promise<LaneResult> {
    const sequence = this.#expectSequence(run, part)
    const { promise, resolve, reject } = Promise.withResolvers<LaneResult>()
    const { isStart, isEnd } = sequence
    const key = keyOfSequence(sequence)
    // A run under way goes on though its client is gone: the state that it leaves is the sequence's.
    const own = { inputs: run.inputs, outputs: run.outputs }
    const batchKey = this.#hasBatch ? keyOf(run) : ''
    const job = {
      run: own,
      sequence,
      kept: undefined,
      key,
      isStart,
      isEnd,
      batchKey,
      arrivedMs,
      resolve,
      reject,
    }
    this.#admit(job, run.signal)
    this.#advance()
    return promise
  }

  /** No sequence takes another request; what waits is answered. */
  shut(): void {
    this.refuseStarts()
    this.#book.shutAll()
    this.#advance()
  }

  /** Sequences go on, none begins. */
  refuseStarts(): void {
    this.#isDraining = true
  }

  /** Shuts, and resolves when all results have been given back. */
  async close(): Promise<void> {
    this.shut()
    await this.#until(() => this.#book.size === 0 && this.#running === 0 && this.#unreleased === 0)
    clearTimeout(this.#timer)
  }

  /** Resolves when no sequence is left: each has ended or has been idle too long. */
  async settled(): Promise<void> {
    await this.#until(() => this.#book.size === 0)
  }

  #until(isMet: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#watchers.push({ isMet, tell: resolve })
    this.#tellWatchers()
    return promise
  }

  #tellWatchers(): void {
    const met = this.#watchers.filter(({ isMet }) => isMet())
    if (met.length === 0) return
    this.#watchers = this.#watchers.filter((watcher) => !met.includes(watcher))
    for (const { tell } of met) tell()
  }

  /** Triton's words, which its clients' tests look for. */
  #expectSequence(run: RunRequest, part: SequencePart | undefined): SequencePart {
    const { id, model } = this.#options
    const [name] = id.split('/')
    if (part === undefined) {
      throw this.#refuse(
        `inference request to model '${name}' must specify a non-zero or non-empty correlation ID: the parameter sequence_id`,
      )
    }
    const items = this.#hasBatch ? (run.inputs[0]?.shape[0] ?? 1) : 1
    if (items !== 1) {
      throw this.#refuse(
        `inference request to model '${name}' must specify batch-size 1 due to requirements of sequence batcher, it has ${items}`,
      )
    }
    checkId(id, part, model)
    if (this.#isDraining && (part.isStart || !this.isOpen(part))) {
      throw new EdgeError('model_unavailable', `Cannot infer with "${id}": it is being unloaded`)
    }
    return part
  }

  #refuse(what: string): EdgeError {
    return new EdgeError('input_invalid', `Cannot infer with "${this.#options.id}": ${what}`)
  }

  #admit(job: Job, signal: AbortSignal | undefined): void {
    const { id, scheduling, statistics, clock } = this.#options
    const { itemsMax } = scheduling.defaultPolicy
    this.#expired += this.#book.expire(clock.elapsed())
    const waiting = this.#book.waitingBeside(job)
    if (waiting >= itemsMax) {
      statistics.fail('REJECTED', 0)
      throw new EdgeError(
        'queue_full',
        `Cannot infer with "${id}": Exceeds maximum queue size: ${waiting} wait, at most ${itemsMax}`,
      )
    }
    const sequence = this.#book.admit(job)
    if (sequence === undefined) {
      statistics.fail('OTHER', 0)
      throw this.#refuse(
        `inference request for sequence ${job.sequence.id} to model '${id.split('/')[0]}' must specify the START flag ` +
          'on the first request of the sequence: sequence_start; it has not begun, has ended, or was idle too long',
      )
    }
    signal?.addEventListener('abort', () => this.#cancel(sequence, job), { once: true })
  }

  /** As Triton: when one request of a sequence is given up while it waits, so is the rest, and the sequence is over. */
  #cancel(sequence: JobSequence, job: Job): void {
    if (!sequence.waiting.includes(job)) return
    for (const cancelled of this.#book.cancel(sequence)) {
      const why =
        cancelled === job ? 'cancelled' : 'cancelled, as an earlier or later request of its sequence was'
      const error = new EdgeError('cancelled', `Cannot infer with "${this.#options.id}": ${why}`)
      this.#fail(cancelled, error, 'CANCELED')
    }
    this.#advance()
  }

  /** Sends what can be sent, ends what has been idle too long, and looks again when there is a reason to. */
  #advance(): void {
    clearTimeout(this.#timer)
    const nowMs = this.#options.clock.elapsed()
    this.#expired += this.#book.expire(nowMs)
    let waitMs = Number.POSITIVE_INFINITY
    while (this.#running < this.#options.runsMax) {
      const choice = this.#choose(nowMs)
      if ('run' in choice) void this.#run(choice.run)
      else {
        waitMs = choice.waitMs
        break
      }
    }
    const nextMs = Math.min(waitMs, this.#book.nextExpiryMs - nowMs)
    if (nextMs !== Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(() => this.#advance(), Math.ceil(nextMs))
    }
    this.#tellWatchers()
  }

  #choose(nowMs: number): Choice<JobTurn> {
    const { model, scheduling, runsMax } = this.#options
    const { strategy } = model.plan
    if (strategy.kind === 'oldest') return chooseOldest(this.#turns(), scheduling, nowMs)
    const slots = { strategy, instances: runsMax, width: this.#width, busy: this.#busy }
    return chooseDirect(this.#turns(), slots, nowMs)
  }

  *#turns(): Generator<JobTurn> {
    for (const sequence of this.#book.ready) {
      const job = present(sequence.waiting[0], 'a sequence that is ready has a request')
      const batchKey = `${job.batchKey}${this.#stateKey(sequence, job)}`
      yield { sequence, slot: sequence.slot, batchSize: 1, batchKey, arrivedMs: job.arrivedMs }
    }
  }

  /** States whose shapes are open may differ from one sequence to the next. */
  #stateKey(sequence: JobSequence, { isStart }: Job): string {
    if (!this.#hasOpenStates) return ''
    const states = isStart ? undefined : sequence.kept
    return states === undefined ? '' : states.map(({ shape }) => shape.join()).join(';')
  }

  async #run(turns: readonly JobTurn[]): Promise<void> {
    const { clock, runsMax, model } = this.#options
    const instance =
      model.plan.strategy.kind === 'direct' ? instanceOf(turns[0]?.slot ?? 0, runsMax) : undefined
    const beganMs = clock.elapsed()
    const taken = turns.map(({ sequence, slot }, index) => {
      const job = this.#book.begin(sequence)
      return { sequence, job, at: this.#keepsPlaces ? positionOf(slot, runsMax) : index }
    })
    this.#running += 1
    if (instance !== undefined) this.#busy.add(instance)
    try {
      const items: (Item | undefined)[] = []
      for (const { sequence, job, at } of taken) items[at] = { ...job, kept: sequence.kept }
      this.#handOut(taken, await this.#runner.run(Array.from(items)), beganMs)
    } catch (error) {
      for (const { job } of taken) this.#fail(job, error, reasonOf(error))
    } finally {
      this.#running -= 1
      if (instance !== undefined) this.#busy.delete(instance)
      const nowMs = clock.elapsed()
      for (const { sequence } of taken) this.#book.finish(sequence, nowMs)
      this.#advance()
    }
  }

  /** The result is given back when the last share is. */
  #handOut(taken: readonly Taken[], { result, shares, times }: RunOutcome, beganMs: number): void {
    const { statistics, clock } = this.#options
    this.#unreleased += 1
    let left = taken.length
    const release = () => {
      left -= 1
      if (left > 0) return
      result.release()
      this.#unreleased -= 1
      this.#tellWatchers()
    }
    statistics.execute(taken.length, times)
    const nowMs = clock.now()
    for (const { sequence, job, at } of taken) {
      const share = shares[at] ?? []
      if (!this.#keep(sequence, job, share)) {
        release()
        continue
      }
      const whole = { queueMs: beganMs - job.arrivedMs, ...times }
      const outputs = share.slice(0, job.run.outputs.length)
      statistics.succeed({ items: 1, times: whole, outputs }, nowMs)
      job.resolve({ outputs, times: whole, release })
    }
  }

  /** False when the sequence cannot go on from here: then it is over, and the request has failed. */
  #keep(sequence: JobSequence, job: Job, share: readonly Tensor[]): boolean {
    if (job.isEnd) return true
    try {
      sequence.kept = keepStates(sequence.kept, share, this.#options.model)
      return true
    } catch (error) {
      const why = `Cannot go on with sequence ${job.sequence.id} of "${this.#options.id}": ${messageOf(error)}`
      const failure = new EdgeError('input_invalid', why, { cause: error })
      for (const lost of [job, ...this.#book.cancel(sequence)]) this.#fail(lost, failure, 'OTHER')
      return false
    }
  }

  #fail(job: Job, error: unknown, reason: FailureReason): void {
    this.#options.statistics.fail(reason, this.#options.clock.elapsed() - job.arrivedMs)
    job.reject(error)
  }
}
