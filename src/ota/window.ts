import { Cron } from 'croner'
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Schedule } from './update.ts'

/** When a switch may happen. Pure: the caller keeps the clock. */

/** Undefined when it may be now, else why not. A window is open from each time that the expression names. */
export function closedBecause(schedule: Schedule, nowMs: number): string | undefined {
  const { notBeforeMs, window, windowSeconds } = schedule
  if (nowMs < notBeforeMs) return `not before ${iso(notBeforeMs)}`
  if (window === undefined) return undefined
  const cron = cronOf(window)
  // The first opening after the moment before which every window has closed by now.
  const opening = cron.nextRun(new Date(nowMs - windowSeconds * 1000))
  if (opening === null) return `the window "${window}" never opens again`
  return opening.getTime() <= nowMs ? undefined : `the window opens at ${iso(opening.getTime())}`
}

function cronOf(window: string): Cron {
  try {
    return new Cron(window, { paused: true, timezone: 'UTC', mode: '5-or-6-parts' })
  } catch (cause) {
    throw new EdgeError(
      'config_invalid',
      `Cannot use the window "${window}": ${messageOf(cause)}; expected a cron expression like "0 2 * * *"`,
      { cause },
    )
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
