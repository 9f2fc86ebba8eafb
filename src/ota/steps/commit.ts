import type { Parts } from '../parts.ts'
import { OK, type Step } from '../step.ts'

/** The version has proven itself: it is the one to come back to from now on. */
export function createCommit({ clock, journal }: Parts): Step {
  return async ({ update }) => {
    const { model, version, release, manifest } = update
    const { p95Ms } = (journal.note(`probe/${manifest}`) ?? {}) as { p95Ms?: number }
    journal.setGood(model, { version, release, manifest, p95Ms, sinceMs: clock.now() })
    return OK
  }
}
