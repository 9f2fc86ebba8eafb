import type { Lane } from '../inference/lane.ts'
import type { Family } from '../kit/metrics-text.ts'

/** One sample for each lane whose requests belong to sequences. */
export function sequenceFamilies(lanes: readonly Lane[]): Family[] {
  const samples = lanes.flatMap(({ model, version, sequences }) =>
    sequences === undefined ? [] : [{ labels: { model, version }, sequences }],
  )
  if (samples.length === 0) return []
  return [
    {
      name: 'limpet_sequences',
      help: 'Sequences that have begun and are not over',
      type: 'gauge',
      samples: samples.map(({ labels, sequences }) => ({ labels, value: sequences.size })),
    },
    {
      name: 'limpet_sequences_expired_total',
      help: 'Sequences that were over because no request came for too long',
      type: 'counter',
      samples: samples.map(({ labels, sequences }) => ({ labels, value: sequences.expired })),
    },
  ]
}
