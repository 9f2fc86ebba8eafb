import type { HistogramSnapshot } from '../kit/histogram.ts'
import { type Family, histogramSamples } from '../kit/metrics-text.ts'

/** How late the main thread's timers were, and by whom: what holds it up holds up every request. */
export interface LoopDelay {
  readonly delay: HistogramSnapshot
  readonly held: HistogramSnapshot
  readonly heldSecondsMax: number
}

export function loopFamilies({ delay, held, heldSecondsMax }: LoopDelay): Family[] {
  return [
    {
      name: 'limpet_event_loop_delay_seconds',
      help: 'How late timers of the main thread were, in seconds; what holds it up holds up every request',
      type: 'histogram',
      samples: histogramSamples({}, delay),
    },
    {
      name: 'limpet_event_loop_held_seconds',
      help: 'Of each of these delays, how long the main thread itself was working at most, by its processor time; the rest it waited for a processor',
      type: 'histogram',
      samples: histogramSamples({}, held),
    },
    {
      name: 'limpet_event_loop_held_max_seconds',
      help: 'The longest of these since the start',
      type: 'gauge',
      samples: [{ labels: {}, value: heldSecondsMax }],
    },
  ]
}
