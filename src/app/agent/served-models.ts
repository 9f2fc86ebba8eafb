import type { Measured, Source } from '../../health/source.ts'
import type { Clock } from '../../kit/clock.ts'
import { readLanes } from './serve-metrics.ts'

type Lane = ReturnType<typeof readLanes>[number]
type Buckets = ReturnType<Lane['buckets']>

interface Counters {
  readonly requests: number
  readonly errors: number
  readonly latency: Buckets
}

const P95 = 0.95

/** What the data plane says of the models that it serves, since the reading before. */
export class ServedModels implements Source {
  readonly name = 'models'
  readonly #readMetrics: () => Promise<string | undefined>
  readonly #clock: Clock
  #before: { readonly atMs: number; readonly counters: ReadonlyMap<string, Counters> } | undefined
  /** By the name that it is served under. */
  readonly #lastInferenceMs = new Map<string, number>()
  /** The same, of the reading before. */
  #nodes: ReadonlyMap<string, Readonly<Record<string, number>>> = new Map()

  constructor({ readMetrics, clock }: { readMetrics: () => Promise<string | undefined>; clock: Clock }) {
    this.#readMetrics = readMetrics
    this.#clock = clock
  }

  /** Milliseconds since 1970; of `family/name`, or of the name alone. */
  lastInferenceMs(model: string): number | undefined {
    return this.#lastInferenceMs.get(servedName(model))
  }

  /** How many nodes of one version each provider runs; undefined where that is not known. */
  nodes(model: string, version: string): Readonly<Record<string, number>> | undefined {
    return this.#nodes.get(keyOf({ model: servedName(model), version }))
  }

  async read(): Promise<Measured[]> {
    const text = await this.#readMetrics()
    if (text === undefined) return []
    const lanes = readLanes(text)
    const atMs = this.#clock.elapsed()
    const before = this.#before
    const counters = new Map(lanes.map((lane) => [keyOf(lane), count(lane)]))
    this.#before = { atMs, counters }
    for (const lane of lanes) this.#noteInference(lane)
    const placed = lanes.filter(({ nodes }) => Object.keys(nodes).length > 0)
    this.#nodes = new Map(placed.map((lane) => [keyOf(lane), lane.nodes]))
    return lanes.flatMap((lane) => {
      const labels = { model: lane.model, version: lane.version }
      const queue = lane.value('nv_inference_pending_request_count')
      const failed = lane.providersFailed
      const now = counters.get(keyOf(lane))
      const then = before?.counters.get(keyOf(lane))
      const rates =
        now === undefined || then === undefined || before === undefined
          ? []
          : ratesOf(now, { then, seconds: (atMs - before.atMs) / 1000 })
      return [
        ...(queue === undefined ? [] : [{ name: 'model_queue_items', labels, value: queue }]),
        ...(failed === undefined ? [] : [{ name: 'model_providers_failed', labels, value: failed }]),
        ...rates.map(({ name, value }) => ({ name, labels, value })),
      ]
    })
  }

  #noteInference(lane: Lane): void {
    const seconds = lane.value('limpet_inference_last_timestamp_seconds')
    if (seconds === undefined) return
    const known = this.#lastInferenceMs.get(lane.model) ?? 0
    this.#lastInferenceMs.set(lane.model, Math.max(known, Math.round(seconds * 1000)))
  }
}

function servedName(model: string): string {
  return model.slice(model.lastIndexOf('/') + 1)
}

function keyOf({ model, version }: Pick<Lane, 'model' | 'version'>): string {
  return JSON.stringify([model, version])
}

function count(lane: Lane): Counters {
  const errors = lane.value('nv_inference_request_failure', { reason: 'BACKEND' }) ?? 0
  return {
    requests: (lane.value('nv_inference_request_success') ?? 0) + errors,
    errors,
    latency: lane.buckets('nv_inference_request_duration_histogram_us'),
  }
}

/** A version without requests has neither a share of errors nor a p95: it is not measured. */
function ratesOf(
  now: Counters,
  { then, seconds }: { then: Counters; seconds: number },
): { name: string; value: number }[] {
  const requests = now.requests - then.requests
  // Another run of the data plane counts from nothing.
  if (seconds <= 0 || requests < 0) return []
  const rate = { name: 'model_requests_per_second', value: requests / seconds }
  if (requests === 0) return [rate]
  const p95 = p95Of(now.latency, then.latency)
  return [
    rate,
    { name: 'model_error_percent', value: (100 * (now.errors - then.errors)) / requests },
    ...(p95 === undefined ? [] : [{ name: 'model_p95_ms', value: p95 }]),
  ]
}

/** A histogram only says between which bounds it is: the upper one, or the last one that there is. */
function p95Of(now: Buckets, then: Buckets): number | undefined {
  const counts = now.map(({ upToMs, count: all }, index) => ({
    upToMs,
    count: all - (then[index]?.count ?? 0),
  }))
  const total = counts.at(-1)?.count ?? 0
  if (total <= 0) return undefined
  const found = counts.find((bucket) => bucket.count >= P95 * total)
  const bounded = counts.filter(({ upToMs }) => Number.isFinite(upToMs))
  return found !== undefined && Number.isFinite(found.upToMs) ? found.upToMs : bounded.at(-1)?.upToMs
}
