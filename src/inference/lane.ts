import { assert } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import type { RunRequest, RunResult, Session, Tensor } from '../runtime/backend.ts'
import { mergeInputs, splitOutputs } from './batch-tensors.ts'
import { checkInputs, chooseOutputs } from './check.ts'
import { inputBytes, type Job, keyOf, type LaneRequest, type LaneResult, reasonOf, timeoutOf } from './job.ts'
import { LaneCache } from './lane-cache.ts'
import { LaneMemory } from './lane-memory.ts'
import { LaneQueue } from './queue.ts'
import type { ResponseCache } from './response-cache.ts'
import { RunPlace } from './run-place.ts'
import { ALONE, chooseBatch, policyOf, type Scheduling } from './scheduling.ts'
import { SequenceBatcher } from './sequences/batcher.ts'
import type { SequenceModel } from './sequences/plan.ts'
import { visibleSession } from './sequences/visible.ts'
import { type FailureReason, Statistics, type StatisticsSnapshot } from './statistics.ts'

export interface LaneOptions {
  readonly model: string
  readonly version: string
  readonly session: Session
  readonly clock: Clock
  readonly scheduling: Scheduling
  /** Runs of this lane at once. */
  readonly runsMax: number
  /** False for sessions on a GPU, whose runs must never hold up the main thread. */
  readonly mayRunInline: boolean
  /** In Triton's words. */
  readonly platform?: 'onnxruntime_onnx' | 'ensemble'
  /** Where its answers are kept; without it each request is run. */
  readonly cache?: ResponseCache | undefined
  /** As it was measured when the session was loaded. */
  readonly memory?: LaneMemory | undefined
  /** Its requests belong to sequences. */
  readonly sequences?: SequenceModel | undefined
  /** What loading it has taken, warm-up included. */
  readonly loadMs?: number
}

/** One version of one model being served: its queue, its session, and how many run at once. */
export class Lane {
  readonly model: string
  readonly version: string
  /** "model/version" */
  readonly id: string
  readonly session: Session
  readonly memory: LaneMemory
  readonly loadMs: number
  readonly readyMs: number
  readonly platform: 'onnxruntime_onnx' | 'ensemble'
  readonly #options: LaneOptions
  readonly #queue: LaneQueue<Job>
  readonly #place = new RunPlace()
  readonly #statistics = new Statistics()
  /** Items that the model insists on in its first dimension; 0 when any number will do. */
  readonly #staticBatch: number
  readonly #allOutputs: readonly string[]
  readonly #cache: LaneCache | undefined
  /** Runs its requests, where they belong to sequences. */
  readonly sequences: SequenceBatcher | undefined
  #running = 0
  /** Results that were handed out and not released yet. */
  #unreleased = 0
  #isDraining = false
  #lastUsedMs: number
  #onEmpty: (() => void) | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The answer before, where answers leave in order. */
  #lastAnswer: Promise<unknown> = Promise.resolve()

  constructor(options: LaneOptions) {
    this.model = options.model
    this.version = options.version
    this.id = `${options.model}/${options.version}`
    const { session, sequences } = options
    this.session = sequences === undefined ? session : visibleSession(session, sequences)
    this.memory = options.memory ?? new LaneMemory(session, 0)
    this.loadMs = options.loadMs ?? 0
    this.readyMs = options.clock.elapsed()
    this.#lastUsedMs = this.readyMs
    this.platform = options.platform ?? 'onnxruntime_onnx'
    this.#options = options
    this.#queue = new LaneQueue(this.id, options.scheduling)
    this.#allOutputs = this.session.signature.outputs.map(({ name }) => name)
    const first = session.signature.inputs[0]?.shape?.[0] ?? -1
    this.#staticBatch = options.scheduling.batchSizeMax > 0 && first > 0 ? first : 0
    this.#cache = this.#createCache()
    if (sequences === undefined) return
    const own = { id: this.id, model: sequences, staticBatch: this.#staticBatch }
    this.sequences = new SequenceBatcher({
      ...options,
      ...own,
      place: this.#place,
      statistics: this.#statistics,
    })
  }

  /** When the last request came, on the clock that only goes forward. */
  get lastUsedMs(): number {
    return this.#lastUsedMs
  }

  get queued(): number {
    return this.#queue.size + (this.sequences?.queued ?? 0)
  }

  /** Above 0 the first dimension of every input and output is the batch, of any size up to this. */
  get batchSizeMax(): number {
    return this.#options.scheduling.batchSizeMax
  }

  get scheduling(): Scheduling {
    return this.#options.scheduling
  }

  /** Whether a request that was answered before is answered without a run. */
  get isCached(): boolean {
    return this.#cache !== undefined
  }

  get statistics(): StatisticsSnapshot {
    return this.#statistics.snapshot
  }

  /** Before its body is read: what finds no place in the queue should cost as little as it can. */
  refuseIfFull(): void {
    if (!this.#queue.isFull || this.#cache !== undefined) return
    this.#statistics.fail('REJECTED', 0)
    throw this.#queue.refusal(this.#options.scheduling.defaultPriorityLevel)
  }

  infer(request: LaneRequest): Promise<LaneResult> {
    const answer = this.#cache?.answer(request, () => this.#answer(request)) ?? this.#answer(request)
    if (!this.#options.scheduling.preserveOrdering) return answer
    // It may fail long before its turn: until then nobody listens, and that would end the process.
    answer.catch(() => undefined)
    const inOrder = this.#lastAnswer.then(() => answer)
    this.#lastAnswer = inOrder.catch(() => undefined)
    return inOrder
  }

  async #answer(request: LaneRequest): Promise<LaneResult> {
    if (this.#isDraining && request.isHeld !== true) {
      throw new EdgeError('model_unavailable', `Cannot infer with "${this.id}": it is being unloaded`)
    }
    if (request.signal?.aborted) throw new EdgeError('cancelled', `Cannot infer with "${this.id}": cancelled`)
    const { signature } = this.session
    const { batchSizeMax } = this.#options.scheduling
    checkInputs({ lane: this.id, signature, batchSizeMax }, request.inputs)
    const outputs = request.outputs === undefined ? this.#allOutputs : this.#chooseOutputs(request.outputs)
    const run: RunRequest = { inputs: request.inputs, outputs, signal: request.signal, wishes: request }
    const arrivedMs = this.#options.clock.elapsed()
    this.#lastUsedMs = arrivedMs
    if (this.sequences !== undefined) return await this.sequences.infer(run, request.sequence, arrivedMs)
    // Nobody waits and nobody is to be waited for: the shortest way.
    const isDirect = !this.#options.scheduling.isDynamic && this.#staticBatch === 0
    if (!isDirect || this.#running >= this.#options.runsMax || this.#queue.size > 0) {
      return await this.#enqueue(request, run, arrivedMs)
    }
    return this.#isInline(run) ? this.#runInline(run, arrivedMs) : await this.#runAlone(run, arrivedMs)
  }

  /** Keeps the lane from closing, and open to requests that say so, until what is returned is called, once. */
  hold(): () => void {
    this.#unreleased += 1
    return () => {
      this.#unreleased -= 1
      this.#signalEmpty()
    }
  }

  /** Takes no more requests, waits for those it has, and releases the session. */
  async close(): Promise<void> {
    assert(!this.#isDraining, 'a lane is closed once')
    this.#isDraining = true
    await this.sequences?.close()
    if (!this.#isEmpty) await new Promise<void>((empty) => (this.#onEmpty = empty))
    await this.session.close()
    this.#cache?.close()
  }

  #enqueue(request: LaneRequest, run: RunRequest, arrivedMs: number): Promise<LaneResult> {
    const { promise, resolve, reject } = Promise.withResolvers<LaneResult>()
    const { scheduling } = this.#options
    const level = this.#levelOf(request)
    const batchSize = scheduling.batchSizeMax > 0 ? (run.inputs[0]?.shape[0] ?? 1) : 1
    const batchKey = scheduling.isDynamic ? keyOf(run) : ''
    const deadlineMs = arrivedMs + timeoutOf(request, policyOf(scheduling, level))
    const job: Job = { run, batchSize, batchKey, arrivedMs, level, deadlineMs, resolve, reject }
    try {
      this.#queue.push(job)
    } catch (error) {
      this.#statistics.fail('REJECTED', 0)
      throw error
    }
    this.#leaveOnAbort(job)
    this.#advance()
    return promise
  }

  /** A client that has gone away needs no run. */
  #leaveOnAbort(job: Job): void {
    job.run.signal?.addEventListener(
      'abort',
      () => {
        if (!this.#queue.remove(job)) return
        this.#fail(job, new EdgeError('cancelled', `Cannot infer with "${this.id}": cancelled`), 'CANCELED')
        this.#signalEmpty()
      },
      { once: true },
    )
  }

  #levelOf({ priority = 0 }: LaneRequest): number {
    const { priorityLevels, defaultPriorityLevel } = this.#options.scheduling
    if (priority === 0) return defaultPriorityLevel
    // As Triton: a level beyond the last is the last.
    return Math.min(priority, priorityLevels)
  }

  /** Sends what can be sent, refuses what has waited too long, and looks again when there is a reason to. */
  #advance(): void {
    clearTimeout(this.#timer)
    const { clock, scheduling, runsMax } = this.#options
    const nowMs = clock.elapsed()
    for (const job of this.#queue.expire(nowMs)) {
      this.#fail(
        job,
        new EdgeError('model_unavailable', `Cannot infer with "${this.id}": Request timeout expired`),
        'REJECTED',
      )
    }
    let waitMs = Number.POSITIVE_INFINITY
    while (this.#running < runsMax && this.#queue.size > 0) {
      const verdict = scheduling.isDynamic ? chooseBatch(this.#queue.inOrder(), scheduling, nowMs) : ALONE
      if ('send' in verdict) void this.#runBatch(this.#queue.take(verdict.send))
      else {
        waitMs = verdict.waitMs
        break
      }
    }
    const nextMs = Math.min(waitMs, this.#queue.nextDeadlineMs - nowMs)
    if (nextMs !== Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.#advance(), Math.ceil(nextMs))
    this.#signalEmpty()
  }

  /** On this thread, from arrival to result without another turn of the event loop. */
  #runInline(run: RunRequest, arrivedMs: number): LaneResult {
    try {
      return this.#finishAlone(this.session.runInline(this.#place.watched(run)), run, arrivedMs)
    } catch (error) {
      this.#statistics.fail(reasonOf(error), this.#options.clock.elapsed() - arrivedMs)
      throw error
    }
  }

  async #runAlone(run: RunRequest, arrivedMs: number): Promise<LaneResult> {
    this.#running += 1
    try {
      return this.#finishAlone(await this.session.run(run), run, arrivedMs)
    } catch (error) {
      this.#statistics.fail(reasonOf(error), this.#options.clock.elapsed() - arrivedMs)
      throw error
    } finally {
      this.#running -= 1
      if (this.#queue.size > 0) this.#advance()
      this.#signalEmpty()
    }
  }

  /** What did not wait for anything but itself. */
  #finishAlone(result: RunResult, run: RunRequest, arrivedMs: number): LaneResult {
    const { clock, scheduling } = this.#options
    this.#place.learn(result)
    this.#unreleased += 1
    const outputMs = Math.max(0, clock.elapsed() - arrivedMs - result.runMs)
    const times = { queueMs: 0, inputMs: 0, inferMs: result.runMs, outputMs }
    const items = scheduling.batchSizeMax > 0 ? (run.inputs[0]?.shape[0] ?? 1) : 1
    this.#statistics.execute(items, times)
    this.#statistics.succeed({ items, times, outputs: result.outputs }, clock.now())
    return { outputs: result.outputs, times, release: () => this.#release(result) }
  }

  /** Several jobs in one run, or one that has waited. */
  async #runBatch(jobs: readonly Job[]): Promise<void> {
    this.#running += 1
    const { clock } = this.#options
    const beganMs = clock.elapsed()
    const isPlain = jobs.length === 1 && this.#staticBatch === 0
    const sizes = jobs.map(({ batchSize }) => batchSize)
    const items = sizes.reduce((sum, size) => sum + size, 0)
    try {
      const run = isPlain ? (jobs[0] as Job).run : this.#mergeJobs(jobs)
      const mergedMs = clock.elapsed()
      const result = this.#isInline(run)
        ? this.session.runInline(this.#place.watched(run))
        : await this.session.run(run)
      this.#place.learn(result)
      const total = Math.max(items, this.#staticBatch)
      const shares = isPlain ? [result.outputs] : this.#splitResult(result, { lane: this.id, sizes, total })
      const endedMs = clock.elapsed()
      const times = {
        inputMs: mergedMs - beganMs,
        inferMs: result.runMs,
        outputMs: Math.max(0, endedMs - mergedMs - result.runMs),
      }
      this.#statistics.execute(items, times)
      this.#handOut(jobs, { result, shares, beganMs, times })
    } catch (error) {
      for (const job of jobs) this.#fail(job, error, reasonOf(error))
    } finally {
      this.#running -= 1
      this.#advance()
    }
  }

  #mergeJobs(jobs: readonly Job[]): RunRequest {
    const [first] = jobs
    assert(first !== undefined, 'a batch holds a job')
    const inputs = mergeInputs(
      jobs.map(({ run }) => run.inputs),
      this.#staticBatch,
    )
    // One client that goes away must not take the others' answer along.
    return { inputs, outputs: first.run.outputs, signal: jobs.length === 1 ? first.run.signal : undefined }
  }

  #splitResult(
    result: RunResult,
    run: { lane: string; sizes: readonly number[]; total: number },
  ): Tensor[][] {
    try {
      return splitOutputs(result.outputs, run)
    } catch (error) {
      result.release()
      throw error
    }
  }

  /** The result is given back when the last share is. */
  #handOut(
    jobs: readonly Job[],
    from: {
      result: RunResult
      shares: readonly (readonly Tensor[])[]
      beganMs: number
      times: { inputMs: number; inferMs: number; outputMs: number }
    },
  ): void {
    this.#unreleased += 1
    let left = jobs.length
    const release = () => {
      left -= 1
      if (left === 0) this.#release(from.result)
    }
    const nowMs = this.#options.clock.now()
    for (const [index, job] of jobs.entries()) {
      const times = { queueMs: from.beganMs - job.arrivedMs, ...from.times }
      const outputs = from.shares[index] ?? []
      this.#statistics.succeed({ items: job.batchSize, times, outputs }, nowMs)
      job.resolve({ outputs, times, release })
    }
  }

  #isInline(run: RunRequest): boolean {
    return this.#options.mayRunInline && this.#place.isInline(inputBytes(run))
  }

  #createCache(): LaneCache | undefined {
    const { cache, clock } = this.#options
    if (cache === undefined) return undefined
    return new LaneCache({ cache, clock, statistics: this.#statistics, allOutputs: this.#allOutputs })
  }

  #chooseOutputs(wanted: readonly string[]): string[] {
    return chooseOutputs({ lane: this.id, signature: this.session.signature }, wanted)
  }

  #fail(job: Job, error: unknown, reason: FailureReason): void {
    this.#statistics.fail(reason, this.#options.clock.elapsed() - job.arrivedMs)
    job.reject(error)
  }

  #release(result: RunResult): void {
    result.release()
    this.#unreleased -= 1
    this.#signalEmpty()
  }

  get #isEmpty(): boolean {
    return this.#running === 0 && this.#unreleased === 0 && this.#queue.size === 0
  }

  #signalEmpty(): void {
    if (this.#isEmpty) this.#onEmpty?.()
  }
}
