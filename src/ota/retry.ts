import type { Clock } from '../kit/clock.ts'
import { EdgeError, ERROR_CODES, type ErrorCode } from '../kit/errors.ts'
import type { Random } from '../kit/random.ts'
import { failed, type Job, type StepResult } from './step.ts'

const FIRST_MS = 1_000
const LONGEST_MS = 5 * 60_000

/**
 * The line may be down for days, and that is no fault of the update: tries again, with full jitter, until the update
 * has used up its time. Only what can go well another time is tried again.
 */
export async function retrying(
  job: Job,
  parts: { readonly clock: Clock; readonly random: Random },
  work: () => Promise<StepResult>,
): Promise<StepResult> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await work()
    } catch (error) {
      const mayGoWell = error instanceof EdgeError && isPassing(error.code)
      if (!mayGoWell || job.signal.aborted) throw error
      const left = leftMs(job, parts.clock)
      if (left <= 0) return failed('deadline', `${deferred(job)}, the last time: ${error.message}`)
      const waitMs = parts.random.fraction() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 20))
      job.progress(undefined, error.message)
      await parts.clock.sleep(Math.min(left, waitMs), job.signal)
      job.signal.throwIfAborted()
    }
  }
}

/** A disk that is full now may be cleared, and what was brought stays meanwhile. */
function isPassing(code: ErrorCode): boolean {
  return ERROR_CODES[code].retry || code === 'storage_full'
}

/** Until the whole way to the switch has taken too long. */
export function leftMs({ update }: Job, clock: Clock): number {
  return update.beganMs + update.schedule.deferSecondsMax * 1000 - clock.now()
}

export function deferred({ update }: Job): string {
  return `not done within ${update.schedule.deferSecondsMax} s`
}
