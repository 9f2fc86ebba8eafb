import type { Engine } from '../inference/engine.ts'
import type { Lane } from '../inference/lane.ts'
import type { StatisticsSnapshot } from '../inference/statistics.ts'

interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** One family in the text format of Prometheus (exposition format 0.0.4). */
interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly samples: readonly Sample[]
}

const micros = ({ ns }: { ns: number }) => Math.round(ns / 1000)

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

/**
 * Counters are kept by the lanes and written out when they are asked for, so they cost a request next to nothing.
 */
export function writeMetrics(engine: Engine): string {
  const lanes = engine.lanes.ready()
  const families = [...laneFamilies(lanes), ...serverFamilies(engine)]
  return `${families.map(writeFamily).join('\n')}\n`
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
  return [
    ...counters,
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
      name: 'limpet_requests_refused_total',
      help: 'Requests refused at the door because too many were inside',
      type: 'counter',
      samples: [{ labels: {}, value: engine.refused }],
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

function writeFamily({ name, help, type, samples }: Family): string {
  const lines = samples.map(({ labels, value }) => `${name}${writeLabels(labels)} ${value}`)
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join('\n')
}

function writeLabels(labels: Sample['labels']): string {
  const entries = Object.entries(labels)
  return entries.length === 0
    ? ''
    : `{${entries.map(([key, text]) => `${key}="${escapeLabel(text)}"`).join(',')}}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
