import { Cron } from 'croner'
import { EdgeError, messageOf } from './errors.ts'

/** When something may happen. A window is open from each time that its cron expression names, in UTC, for so long. */
export interface Opening {
  /** Wall time, milliseconds; 0 for at once. */
  readonly notBeforeMs: number
  /** Undefined for any time. */
  readonly window: string | undefined
  readonly windowSeconds: number
}

/** Undefined when it may be now, else why not. */
export function closedBecause(
  { notBeforeMs, window, windowSeconds }: Opening,
  nowMs: number,
): string | undefined {
  if (nowMs < notBeforeMs) return `not before ${iso(notBeforeMs)}`
  if (window === undefined) return undefined
  // The first opening after the moment before which every window has closed by now.
  const opening = cronOf(window).nextRun(new Date(nowMs - windowSeconds * 1000))
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
