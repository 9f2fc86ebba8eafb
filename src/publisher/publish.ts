import { sha256Of } from '../store/chunks/chunk-file.ts'
import { OFFLINE_DAYS } from '../trust/ceremony.ts'
import type { TrustClient, TrustSource } from '../trust/client.ts'
import type { SigningKey } from '../trust/key.ts'
import { encodeManifest, type ListedManifest, type Manifest, type Variant } from '../trust/manifest.ts'
import { splitModel } from '../trust/names.ts'
import { requireTrust, TrustRefusal } from '../trust/refusal.ts'
import type { TargetsFields } from '../trust/sign-metadata.ts'
import { listVersion, signNextTargets } from '../trust/targets-change.ts'
import type { TrustView } from '../trust/view.ts'
import type { RegistryClient } from './registry-client.ts'

/** Where a publisher's signed metadata goes, and where the newest is verified. */
export interface FamilyPort {
  refresh(): Promise<TrustView>
  postMetadata(role: string, bytes: Uint8Array): Promise<void>
  now(): number
}

export function familyPort(
  registry: Pick<RegistryClient, 'postMetadata' | 'putObject'> & TrustSource,
  trust: TrustClient,
) {
  return {
    refresh: () => trust.refresh(registry),
    postMetadata: (role: string, bytes: Uint8Array) => registry.postMetadata(role, bytes),
    putObject: (bytes: Uint8Array) => registry.putObject(bytes),
    now: () => trust.now().ms,
  }
}

/** How often somebody else may be first before it is given up. */
const ATTEMPTS_MAX = 5

/**
 * Makes the next version of a family's metadata out of the newest that is verified, and sends it. When another
 * publisher of the family was first, it is made again out of what is the newest then.
 */
export async function changeFamily(
  family: string,
  change: (targets: TargetsFields) => TargetsFields,
  { port, key }: { port: FamilyPort; key: SigningKey },
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const view = await port.refresh()
    requirePublisher(view, { family, key })
    const next = change(await view.familyFields(family))
    const bytes = signNextTargets(next, { keys: [key], days: OFFLINE_DAYS.family, nowMs: port.now() })
    try {
      await port.postMetadata(family, bytes)
      return
    } catch (error) {
      const wasSecond = error instanceof TrustRefusal && error.reason === 'metadata_rolled_back'
      if (!wasSecond || attempt === ATTEMPTS_MAX) throw error
    }
  }
}

/** Before anything is uploaded: a key that may not publish is of no use, however much was sent. */
export function requirePublisher(
  view: TrustView,
  { family, key }: { family: string; key: SigningKey },
): void {
  const ids = view.publishersOf(family)
  requireTrust(
    ids.includes(key.id),
    'publisher_not_delegated',
    () =>
      `Cannot publish for the family "${family}" with the key ${key.id.slice(0, 8)}: ` +
      (ids.length === 0
        ? 'there is no such family'
        : `its publisher is ${ids.map((id) => id.slice(0, 8)).join(' or ')}`),
  )
}

/** Lists one more version, under the next release where none is given. */
export async function listManifest(
  manifest: Omit<Manifest, 'release'> & { readonly release: number | undefined },
  port: FamilyPort & { putObject(bytes: Uint8Array): Promise<void> },
  key: SigningKey,
): Promise<ListedManifest> {
  const { model, version } = manifest
  const known = (await (await port.refresh()).listModels()).filter((each) => each.model === model)
  const newest = Math.max(0, ...known.map((each) => each.release))
  const release = manifest.release ?? newest + 1
  requireTrust(
    release > newest && known.every((each) => each.version !== version),
    'manifest_mismatch',
    () =>
      `Cannot publish ${model} ${version} as release ${release}: expected a new version and a release above ${newest}`,
  )
  const bytes = encodeManifest({ ...manifest, release })
  const listed = { model, version, release, sha256: sha256Of(bytes), bytes: bytes.length }
  await port.putObject(bytes)
  const family = splitModel(model)?.family ?? ''
  await changeFamily(family, (targets) => listVersion(targets, listed), { port, key })
  return listed
}

/** Whether a version that is published is what lies here. What devices run under a name never changes. */
export function requireSameFiles(published: Manifest, variants: readonly Variant[]): void {
  const digest = (list: readonly Variant[]) =>
    JSON.stringify(
      list.map(({ name, files }) => [name, files.map(({ path, sha256 }) => [path, sha256]).sort()]).sort(),
    )
  requireTrust(
    digest(published.variants) === digest(variants),
    'manifest_mismatch',
    () =>
      `Cannot publish ${published.model} ${published.version}: it is published with other files; ` +
      'give the new ones another version',
  )
}
