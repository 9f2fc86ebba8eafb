import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import { retrying } from '../retry.ts'
import { OK, type Step } from '../step.ts'
import { gone } from './gone.ts'

/** Brings what is missing, over whatever line there is; what was brought before a cut is not brought again. */
export function createDownload(parts: Parts): Step {
  const { store } = parts
  return async (job) => {
    const wanted = await readPackage(parts, job.update)
    if (wanted === undefined) return gone(job.update)
    if (await store.isInstalled(wanted)) return OK
    const wholeBytes = wanted.variant.files.reduce((sum, { bytes }) => sum + bytes, 0)
    const tell = (doneBytes: number) =>
      job.progress(wholeBytes === 0 ? 100 : Math.floor((100 * doneBytes) / wholeBytes))
    return await retrying(job, parts, async () => {
      await store.fetch(wanted, tell, job.signal)
      return OK
    })
  }
}
