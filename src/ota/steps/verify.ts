import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import type { Package, StorePort } from '../ports.ts'
import { failed, OK, type Step, type StepResult } from '../step.ts'
import { gone } from './gone.ts'

/** Hashes every file in full. Chunks were hashed as they came; this finds what the disk has made of them. */
export function createVerify(parts: Parts): Step {
  const { store, journal } = parts
  return async ({ update, signal, progress }) => {
    const wanted = await readPackage(parts, update)
    if (wanted === undefined) return gone(update)
    if (await store.isInstalled(wanted)) return (await isStillWhole(store, wanted)) ?? OK
    const wrong = await store.verify(wanted, () => progress(undefined), signal)
    if (wrong.length === 0) return OK
    const reason = `not what was signed: ${wrong.join(', ')}`
    // Brought again once: a disk that does this twice is not mended by a third time.
    const note = `damaged/${update.id}`
    if (journal.note(note) !== undefined) return failed('corrupt', reason)
    journal.setNote(note, wrong)
    return { outcome: 'damaged', code: 'corrupt', reason }
  }
}

/** What was brought long ago may have rotted since: it goes, and is brought again. */
async function isStillWhole(store: StorePort, wanted: Package): Promise<StepResult | undefined> {
  if (await store.isWhole(wanted)) return undefined
  await store.remove(wanted)
  return { outcome: 'damaged', code: 'rotten', reason: 'its files on this disk are not what they were' }
}
