import type { Lane } from '../../inference/lane.ts'
import { makeInputs } from '../../inference/warm-up-inputs.ts'
import type { Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'

/** What a run takes where nobody has asked yet, or why it cannot be said. */
export type Latency =
  | { readonly runs: number; readonly medianMs: number; readonly isOpen: boolean }
  | { readonly problem: string }

const RUNS_MAX = 20
const MEASURE_MS_MAX = 2_000
const RUN_MS_MAX = 30_000
const ZEROS = { name: 'doctor', count: 1, batchSize: 1, inputs: [] }
const WHOLE_SEQUENCE = { id: 1n, isStart: true, isEnd: true }

/** Runs a version on zeros, one run after the other, a first one to warm up. `isOpen`: open dimensions were taken as 1. */
export async function measureLatency(lane: Lane, clock: Clock): Promise<Latency> {
  const { signature } = lane.session
  try {
    const inputs = makeInputs(ZEROS, { signature, hasBatch: lane.batchSizeMax > 0 })
    const times: number[] = []
    const began = clock.elapsed()
    for (let run = 0; run <= RUNS_MAX && clock.elapsed() - began < MEASURE_MS_MAX; run += 1) {
      const started = clock.elapsed()
      const signal = AbortSignal.timeout(RUN_MS_MAX)
      const result = await lane.infer({ inputs, outputs: undefined, signal, sequence: WHOLE_SEQUENCE })
      result.release()
      times.push(clock.elapsed() - started)
    }
    const measured = times.length > 1 ? times.slice(1) : times
    const medianMs = measured.toSorted((a, b) => a - b)[Math.floor(measured.length / 2)] ?? 0
    const isOpen = signature.inputs.some(({ shape }) => shape === undefined || shape.includes(-1))
    return { runs: measured.length, medianMs, isOpen }
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

export function describeLatency(latency: Latency): string {
  if ('problem' in latency) return `a run on zeros says nothing of it: ${latency.problem}`
  const { runs, medianMs, isOpen } = latency
  const ms = medianMs < 1 ? medianMs.toFixed(2) : medianMs.toFixed(1)
  return `half of ${runs} runs on zeros took ${ms} ms at most${isOpen ? ' (open dimensions as 1: real ones take longer)' : ''}`
}
