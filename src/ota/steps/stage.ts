import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import { OK, type Step } from '../step.ts'
import { gone } from './gone.ts'

/** Puts the verified files in their place, where they never change again. */
export function createStage(parts: Parts): Step {
  const { store } = parts
  return async ({ update }) => {
    const wanted = await readPackage(parts, update)
    if (wanted === undefined) return gone(update)
    // Also where it is in its place already: what follows the move may have been cut off.
    await store.install(wanted)
    return OK
  }
}
