import type { AssignedModel } from './assignment.ts'
import type { ListedManifest } from './manifest.ts'
import { requireTrust, TrustRefusal } from './refusal.ts'

/** What TUF says of a model. */
export interface ModelFacts {
  /** Undefined where no publisher has signed such a version. */
  readonly listed: ListedManifest | undefined
  /** Releases under this one were withdrawn for safety; 0 where nothing was. */
  readonly floor: number
}

/**
 * Whether an assigned version may run at all, before anything of it is fetched. `runningRelease` is undefined where the
 * device has none. No assignment gets below the security floor: the director cannot bring back what a publisher withdrew.
 */
export function approveModel(
  assigned: AssignedModel,
  facts: ModelFacts,
  runningRelease: number | undefined,
): ListedManifest {
  const { listed, floor } = facts
  const name = `${assigned.model} ${assigned.version}`
  if (listed === undefined) {
    throw new TrustRefusal('model_unlisted', `Cannot take ${name}: no publisher has signed a manifest for it`)
  }
  requireTrust(
    listed.sha256 === assigned.manifest,
    'manifest_hash',
    () => `Cannot take ${name}: assigned is the manifest ${assigned.manifest}, signed is ${listed.sha256}`,
  )
  requireTrust(
    listed.release === assigned.release,
    'manifest_mismatch',
    () => `Cannot take ${name}: assigned is release ${assigned.release}, signed is ${listed.release}`,
  )
  requireTrust(
    listed.release >= floor,
    'below_security_floor',
    () => `Cannot take ${name}: its release is ${listed.release}, the security floor is ${floor}`,
  )
  requireTrust(
    assigned.allow_downgrade || runningRelease === undefined || listed.release >= runningRelease,
    'downgrade_not_allowed',
    () =>
      `Cannot take ${name}: its release is ${listed.release}, running is ${runningRelease}, and allow_downgrade is not set`,
  )
  return listed
}
