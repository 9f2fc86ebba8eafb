import { approveModel } from '../../trust/approval.ts'
import { createPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import { retrying } from '../retry.ts'
import { OK, type Step } from '../step.ts'

/** Whether what is assigned is what a publisher has signed, and runs on this device: nothing is brought here before. */
export function createResolve(parts: Parts): Step {
  const { trust, store, host } = parts
  return async (job) =>
    await retrying(job, parts, async () => {
      const { update, signal } = job
      const view = await trust.refresh(signal)
      const facts = await view.facts(update.model, update.version)
      const running = await store.current(update.model)
      const { model, version, manifest: sha256, release, allowDowngrade } = update
      const assigned = { model, version, manifest: sha256, release, allow_downgrade: allowDowngrade }
      const listed = approveModel(assigned, facts, running?.release)
      const manifest = await trust.fetchManifest(listed, signal)
      createPackage(manifest, listed.sha256, host.hardware)
      return OK
    })
}
