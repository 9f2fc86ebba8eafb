import { fallBack } from '../fallback.ts'
import type { Parts } from '../parts.ts'
import { failed, OK, type Step } from '../step.ts'

/** Between two tries: what has to come back meanwhile is another process. */
const WAIT_MS = 2_000

/** Points back at what served before, or at the next best that is whole. */
export function createRevert(parts: Parts): Step {
  return async ({ update, signal }) => {
    const { previous, model } = update
    const fallen = await fallBack(parts, { model, from: update, candidates: [previous], signal })
    if (fallen.isServing || !fallen.hadCandidates) return OK
    await parts.clock.sleep(WAIT_MS, signal)
    // The reason why it goes back is the one to be told in the end.
    return failed(update.code, `${update.reason.split('; then: ')[0]}; then: ${fallen.reason}`)
  }
}
