import type { Engine } from '../inference/engine.ts'
import type { Lane } from '../inference/lane.ts'
import type { StatisticsSnapshot } from '../inference/statistics.ts'
import { type Family, histogramSamples, micros, writeFamilies } from '../kit/metrics-text.ts'
import { type BoardState, boardFamilies, providerFamilies } from './board-metrics.ts'
import { cacheFamilies } from './cache-metrics.ts'
import { lifeFamilies } from './life-metrics.ts'
import { type LoopDelay, loopFamilies } from './loop-metrics.ts'
import { type MachineSample, machineFamilies } from './machine-metrics.ts'
import type { Refusals } from './refusals.ts'
import { sequenceFamilies } from './sequence-metrics.ts'

/** Triton's names and words, so that dashboards made for it work. One sample for each lane. */
const LANE_COUNTERS: readonly [name: string, help: string, value: (of: StatisticsSnapshot) => number][] = [
  [
    'nv_inference_request_success',
    'Number of successful inference requests, all batch sizes',
    (of) => of.success.count,
  ],
  [
    'nv_inference_count',
    'Number of inferences performed (does not include cached requests)',
    (of) => of.inferences,
  ],
  [
    'limpet_inference_not_finite_total',
    'Answers with NaN or infinity in them, of those elements that are looked at',
    (of) => of.notFinite,
  ],
  [
    'nv_inference_exec_count',
    'Number of model executions performed (does not include cached requests)',
    (of) => of.executions,
  ],
  [
    'nv_inference_request_duration_us',
    'Cumulative inference request duration in microseconds',
    (of) => micros(of.success),
  ],
  [
    'nv_inference_queue_duration_us',
    'Cumulative inference queuing duration in microseconds',
    (of) => micros(of.queue),
  ],
  [
    'nv_inference_compute_input_duration_us',
    'Cumulative compute input duration in microseconds',
    (of) => micros(of.input),
  ],
  [
    'nv_inference_compute_infer_duration_us',
    'Cumulative compute inference duration in microseconds',
    (of) => micros(of.infer),
  ],
  [
    'nv_inference_compute_output_duration_us',
    'Cumulative inference compute output duration in microseconds',
    (of) => micros(of.output),
  ],
]

/** The first three by the names that Triton's own proposal gives them. */
const LANE_HISTOGRAMS: readonly [name: string, help: string, of: keyof StatisticsSnapshot['histograms']][] = [
  [
    'nv_inference_request_duration_histogram_us',
    'Duration of successful requests in microseconds',
    'request',
  ],
  ['nv_inference_queue_duration_histogram_us', 'Time that requests waited, in microseconds', 'queue'],
  ['nv_inference_compute_infer_duration_histogram_us', 'Duration of runs in microseconds', 'infer'],
  ['limpet_inference_batch_size', 'Items in a run', 'batch'],
]

/**
 * Counters are kept by the lanes and written out when they are asked for, so they cost a request next to nothing.
 */
export function writeMetrics(
  engine: Engine,
  beside: {
    readonly loopDelay: LoopDelay
    readonly machine: MachineSample
    readonly board: BoardState
    readonly refusals: Refusals
    readonly more: readonly Family[]
  },
): string {
  const lanes = engine.lanes.ready()
  return writeFamilies([
    ...laneFamilies(lanes),
    ...cacheFamilies(lanes, engine.lanes.cache),
    ...lifeFamilies(engine.lanes),
    ...sequenceFamilies(lanes),
    ...serverFamilies(engine),
    ...refusalFamilies(beside.refusals),
    ...loopFamilies(beside.loopDelay),
    ...boardFamilies(beside.board),
    ...providerFamilies(lanes),
    ...machineFamilies(beside.machine),
    ...beside.more,
  ])
}

function laneFamilies(lanes: readonly Lane[]): Family[] {
  const snapshots = lanes.map(({ model, version, statistics }) => ({
    labels: { model, version },
    statistics,
  }))
  const counters = LANE_COUNTERS.map(([name, help, value]): Family => {
    const samples = snapshots.map(({ labels, statistics }) => ({ labels, value: value(statistics) }))
    return { name, help, type: 'counter', samples }
  })
  const failures = snapshots.flatMap(({ labels, statistics }) =>
    Object.entries(statistics.failures).map(([reason, value]) => ({ labels: { ...labels, reason }, value })),
  )
  const pending = lanes.map(({ model, version, queued }) => ({ labels: { model, version }, value: queued }))
  const last = snapshots
    .filter(({ statistics }) => statistics.lastInferenceMs > 0)
    .map(({ labels, statistics }) => ({ labels, value: statistics.lastInferenceMs / 1000 }))
  const histograms = LANE_HISTOGRAMS.map(([name, help, of]): Family => {
    const samples = snapshots.flatMap(({ labels, statistics }) =>
      histogramSamples(labels, statistics.histograms[of]),
    )
    return { name, help, type: 'histogram', samples }
  })
  return [
    ...counters,
    ...histograms,
    {
      name: 'nv_inference_request_failure',
      help: 'Number of failed inference requests, all batch sizes',
      type: 'counter',
      samples: failures,
    },
    {
      name: 'nv_inference_pending_request_count',
      help: 'Instantaneous number of pending requests awaiting execution per-model',
      type: 'gauge',
      samples: pending,
    },
    {
      name: 'limpet_inference_last_timestamp_seconds',
      help: 'When a version has answered last, in seconds since 1970',
      type: 'gauge',
      samples: last,
    },
  ]
}

function serverFamilies(engine: Engine): Family[] {
  return [
    {
      name: 'limpet_requests_in_flight',
      help: 'Requests inside the server, waiting or running',
      type: 'gauge',
      samples: [{ labels: {}, value: engine.requests }],
    },
    {
      name: 'limpet_request_bytes_in_flight',
      help: 'Bytes of the bodies of the requests inside the server',
      type: 'gauge',
      samples: [{ labels: {}, value: engine.bytes }],
    },
    {
      name: 'limpet_requests_refused_total',
      help: 'Requests refused because too many, or too many bytes, were inside, or because the board was hot',
      type: 'counter',
      samples: Object.entries(engine.refused).map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      name: 'limpet_admitted_share',
      help: 'Of the requests that come, so much is let in; below 1 while the board is hot',
      type: 'gauge',
      samples: [{ labels: {}, value: engine.share }],
    },
    {
      name: 'limpet_model_state',
      help: 'Each known version with the state that the repository index gives it',
      type: 'gauge',
      samples: engine.lanes
        .index()
        .map(({ model, version, state }) => ({ labels: { model, version, state }, value: 1 })),
    },
  ]
}

function refusalFamilies({ counts, bugs }: Refusals): Family[] {
  return [
    {
      name: 'limpet_errors_total',
      help: 'Requests answered with an error, of whatever route, by its code',
      type: 'counter',
      samples: [...counts].map(([code, value]) => ({ labels: { code }, value })),
    },
    {
      name: 'limpet_bugs_total',
      help: 'Requests answered 500 because of a fault in this program',
      type: 'counter',
      samples: [{ labels: {}, value: bugs }],
    },
  ]
}
