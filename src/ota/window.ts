import { closedBecause as closed } from '../kit/opening.ts'
import type { Schedule } from './update.ts'

/** When a switch may happen: undefined when it may be now, else why not. Pure: the caller keeps the clock. */
export function closedBecause(schedule: Schedule, nowMs: number): string | undefined {
  return closed(schedule, nowMs)
}
