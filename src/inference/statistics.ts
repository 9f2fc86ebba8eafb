import { Histogram } from '../kit/histogram.ts'
import type { Tensor } from '../runtime/backend.ts'
import { areFinite } from './finite.ts'

/** Microseconds; from a trivial model in line to a text detector behind a queue. */
const BOUNDS_US = [50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 5e6]
const BOUNDS_BATCH = [1, 2, 4, 8, 16, 32, 64, 128]

/** Count and sum, as Triton's statistics extension gives them. */
interface Duration {
  readonly count: number
  readonly ns: number
}

/** What one answered request took, milliseconds. */
export interface RequestTimes {
  readonly queueMs: number
  readonly inputMs: number
  readonly inferMs: number
  readonly outputMs: number
}

interface Answered {
  readonly items: number
  readonly times: RequestTimes
  readonly outputs: readonly Tensor[]
}

export type FailureReason = 'REJECTED' | 'CANCELED' | 'BACKEND' | 'OTHER'

class Sum {
  count = 0
  #ms = 0

  add(ms: number): void {
    this.count += 1
    this.#ms += ms
  }

  get duration(): Duration {
    return { count: this.count, ns: Math.round(this.#ms * 1e6) }
  }
}

/** Of one lane. Adding costs a handful of additions: it happens for every request. */
export class Statistics {
  readonly #success = new Sum()
  readonly #fail = new Sum()
  readonly #queue = new Sum()
  readonly #input = new Sum()
  readonly #infer = new Sum()
  readonly #output = new Sum()
  readonly #cacheHit = new Sum()
  readonly #cacheMiss = new Sum()
  readonly #batches = new Map<number, { input: Sum; infer: Sum; output: Sum }>()
  readonly #failures: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 }
  readonly #histograms = {
    request: new Histogram(BOUNDS_US),
    queue: new Histogram(BOUNDS_US),
    infer: new Histogram(BOUNDS_US),
    batch: new Histogram(BOUNDS_BATCH),
  }
  #inferences = 0
  #notFinite = 0
  #executions = 0
  #lastInferenceMs = 0

  /** One request answered; `items` is its share of the batch. */
  succeed({ items, times, outputs }: Answered, nowMs: number): void {
    if (!areFinite(outputs)) this.#notFinite += 1
    const wholeMs = times.queueMs + times.inputMs + times.inferMs + times.outputMs
    this.#success.add(wholeMs)
    this.#histograms.request.add(wholeMs * 1000)
    this.#histograms.queue.add(times.queueMs * 1000)
    this.#queue.add(times.queueMs)
    this.#input.add(times.inputMs)
    this.#infer.add(times.inferMs)
    this.#output.add(times.outputMs)
    this.#inferences += items
    this.#lastInferenceMs = nowMs
  }

  /** One run of so many items. */
  execute(batchSize: number, times: Omit<RequestTimes, 'queueMs'>): void {
    this.#executions += 1
    this.#histograms.infer.add(times.inferMs * 1000)
    this.#histograms.batch.add(batchSize)
    const batch = this.#batches.get(batchSize) ?? { input: new Sum(), infer: new Sum(), output: new Sum() }
    this.#batches.set(batchSize, batch)
    batch.input.add(times.inputMs)
    batch.infer.add(times.inferMs)
    batch.output.add(times.outputMs)
  }

  /** One request answered without a run. As in Triton it has waited, for no time, and was no inference. */
  hit(tookMs: number, nowMs: number): void {
    this.#success.add(tookMs)
    this.#queue.add(0)
    this.#cacheHit.add(tookMs)
    this.#histograms.request.add(tookMs * 1000)
    this.#histograms.queue.add(0)
    this.#lastInferenceMs = nowMs
  }

  /** Looking for an answer that was not there, and keeping the one that was made. */
  miss(tookMs: number): void {
    this.#cacheMiss.add(tookMs)
  }

  fail(reason: FailureReason, tookMs: number): void {
    this.#fail.add(tookMs)
    this.#failures[reason] += 1
  }

  get snapshot() {
    return {
      lastInferenceMs: this.#lastInferenceMs,
      inferences: this.#inferences,
      /** Answers with NaN or infinity in them. */
      notFinite: this.#notFinite,
      executions: this.#executions,
      success: this.#success.duration,
      fail: this.#fail.duration,
      queue: this.#queue.duration,
      input: this.#input.duration,
      infer: this.#infer.duration,
      output: this.#output.duration,
      cacheHit: this.#cacheHit.duration,
      cacheMiss: this.#cacheMiss.duration,
      failures: { ...this.#failures },
      histograms: {
        request: this.#histograms.request.snapshot,
        queue: this.#histograms.queue.snapshot,
        infer: this.#histograms.infer.snapshot,
        batch: this.#histograms.batch.snapshot,
      },
      batches: [...this.#batches].map(([batchSize, { input, infer, output }]) => ({
        batchSize,
        input: input.duration,
        infer: infer.duration,
        output: output.duration,
      })),
    }
  }
}

export type StatisticsSnapshot = Statistics['snapshot']
