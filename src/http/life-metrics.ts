import type { Lane } from '../inference/lane.ts'
import type { Lanes } from '../inference/lanes.ts'
import { type Family, histogramSamples } from '../kit/metrics-text.ts'

/** What comes with a lane's life: memory, and how lanes come and go. */
export function lifeFamilies(lanes: Lanes): Family[] {
  const { counts } = lanes
  return [
    ...laneFamilies(lanes.ready()),
    single('limpet_memory_budget_bytes', 'gauge', [
      'What all versions together may take of the main memory; 0 is no bound',
      lanes.memoryBytesMax,
    ]),
    single('limpet_lane_evictions_total', 'counter', [
      'Versions that were let go because another one needed their memory',
      counts.evictions,
    ]),
    single('limpet_lane_loads_on_demand_total', 'counter', [
      'Loads that a request asked for',
      counts.loadsOnDemand,
    ]),
    single('limpet_lane_restores_total', 'counter', [
      'Versions that were loaded again because the one they had made room for failed',
      counts.restores,
    ]),
    {
      name: 'limpet_lane_loads_total',
      help: 'Loads of versions, by their outcome',
      type: 'counter',
      samples: [
        { labels: { outcome: 'ready' }, value: counts.loads },
        { labels: { outcome: 'failed' }, value: counts.loadsFailed },
      ],
    },
    {
      name: 'limpet_swap_duration_seconds',
      help: 'How long it took until a version had taken the place of another one, by the way it was done',
      type: 'histogram',
      samples: Object.entries(counts.swaps).flatMap(([way, histogram]) =>
        histogramSamples({ way }, histogram.snapshot),
      ),
    },
    single('limpet_requests_awaiting_load', 'gauge', [
      'Requests that wait for a version to be loaded',
      lanes.waiting,
    ]),
  ]
}

function laneFamilies(lanes: readonly Lane[]): Family[] {
  const perLane = (value: (lane: Lane) => number) =>
    lanes.map((lane) => ({ labels: { model: lane.model, version: lane.version }, value: value(lane) }))
  return [
    {
      name: 'limpet_lane_memory_bytes',
      help: 'Main memory that a version takes: its weights, and what its runs have grown to',
      type: 'gauge',
      samples: perLane(({ memory }) => memory.bytes),
    },
    {
      name: 'nv_model_load_duration_secs',
      help: 'Model load time in seconds',
      type: 'gauge',
      samples: perLane(({ loadMs }) => loadMs / 1000),
    },
  ]
}

function single(name: string, type: Family['type'], [help, value]: [help: string, value: number]): Family {
  return { name, help, type, samples: [{ labels: {}, value }] }
}
