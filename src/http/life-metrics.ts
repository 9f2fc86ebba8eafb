import type { Lane } from '../inference/lane.ts'
import type { Family } from './metrics-text.ts'

/** What comes with a lane's life: memory, and how it was loaded. */
export function lifeFamilies(lanes: readonly Lane[]): Family[] {
  return [
    {
      name: 'limpet_lane_memory_bytes',
      help: 'Main memory that a version takes: its weights, and what its runs have grown to',
      type: 'gauge',
      samples: lanes.map(({ model, version, memory }) => ({
        labels: { model, version },
        value: memory.bytes,
      })),
    },
  ]
}
