import type { Lane } from '../inference/lane.ts'
import type { ResponseCache } from '../inference/response-cache.ts'
import type { StatisticsSnapshot } from '../inference/statistics.ts'
import { type Family, micros } from '../kit/metrics-text.ts'

/** Triton's names and words; one sample for each lane that keeps its answers. */
const LANE_COUNTERS: readonly [name: string, help: string, value: (of: StatisticsSnapshot) => number][] = [
  ['nv_cache_num_hits_per_model', 'Number of cache hits per model', (of) => of.cacheHit.count],
  ['nv_cache_num_misses_per_model', 'Number of cache misses per model', (of) => of.cacheMiss.count],
  [
    'nv_cache_hit_duration_per_model',
    'Total cache hit duration per model, in microseconds',
    (of) => micros(of.cacheHit),
  ],
  [
    'nv_cache_miss_duration_per_model',
    'Total cache miss duration per model, in microseconds',
    (of) => micros(of.cacheMiss),
  ],
]

export function cacheFamilies(lanes: readonly Lane[], cache: ResponseCache | undefined): Family[] {
  if (cache === undefined) return []
  const cached = lanes
    .filter(({ isCached }) => isCached)
    .map(({ model, version, statistics }) => ({ labels: { model, version }, statistics }))
  const counters = LANE_COUNTERS.map(([name, help, value]): Family => {
    const samples = cached.map(({ labels, statistics }) => ({ labels, value: value(statistics) }))
    return { name, help, type: 'counter', samples }
  })
  return [
    ...counters,
    single('limpet_response_cache_bytes', 'gauge', ['Bytes that kept answers take', cache.bytes]),
    single('limpet_response_cache_entries', 'gauge', ['Answers that are kept', cache.entries]),
    single('limpet_response_cache_evictions_total', 'counter', [
      'Answers that left because others needed their place',
      cache.evictions,
    ]),
  ]
}

function single(name: string, type: Family['type'], [help, value]: [help: string, value: number]): Family {
  return { name, help, type, samples: [{ labels: {}, value }] }
}
