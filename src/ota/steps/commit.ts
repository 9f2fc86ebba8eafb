import type { Parts } from '../parts.ts'
import { OK, type Step } from '../step.ts'

/** The version has proven itself: it is the one to come back to from now on. */
export function createCommit({ clock, journal }: Parts): Step {
  return async ({ update }) => {
    const { model, version, release, manifest } = update
    const { typicalMs } = (journal.note(`probe/${manifest}`) ?? {}) as { typicalMs?: number }
    journal.setGood(model, { version, release, manifest, typicalMs, sinceMs: clock.now() })
    return OK
  }
}
