import { sha256Of } from '../store/chunks/chunk-file.ts'
import { OFFLINE_DAYS } from '../trust/ceremony.ts'
import type { TrustClient, TrustSource } from '../trust/client.ts'
import type { SigningKey } from '../trust/key.ts'
import {
  encodeManifest,
  type ListedManifest,
  type Manifest,
  parseManifest,
  type Variant,
} from '../trust/manifest.ts'
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
  /** The highest version of it that a device has seen. */
  versionSeen(role: string): Promise<number>
  now(): number
}

export function familyPort(
  registry: Pick<RegistryClient, 'postMetadata' | 'putObject' | 'versionSeen'> & TrustSource,
  trust: TrustClient,
) {
  return {
    refresh: () => trust.refresh(registry),
    postMetadata: (role: string, bytes: Uint8Array) => registry.postMetadata(role, bytes),
    versionSeen: (role: string) => registry.versionSeen(role),
    putObject: (bytes: Uint8Array) => registry.putObject(bytes),
    now: () => trust.now().ms,
  }
}

/** How often somebody else may be first before it is given up. */
const ATTEMPTS_MAX = 5

/**
 * Makes the next version of a family's metadata out of the newest that is verified, and sends it. When another
 * publisher of the family was first, it is made again out of what is the newest then. Devices may have seen a version
 * above the newest, where the registry was restored from an old copy: the next one is above that.
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
    const bytes = signNextTargets(
      { ...next, version: Math.max(next.version, await port.versionSeen(family)) },
      { keys: [key], days: OFFLINE_DAYS.family, nowMs: port.now() },
    )
    try {
      await port.postMetadata(family, bytes)
      break
    } catch (error) {
      const wasSecond = error instanceof TrustRefusal && error.reason === 'metadata_rolled_back'
      if (!wasSecond || attempt === ATTEMPTS_MAX) throw error
    }
  }
  // Kept on this machine from now on, should the registry forget it. What was published is published without that.
  await port
    .refresh()
    .then((view) => view.familyFields(family))
    .catch(() => undefined)
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

type ManifestPort = FamilyPort & { putObject(bytes: Uint8Array): Promise<void> }

/** Lists one more version, under the next release where none is given: above those that are known, here or to all. */
export async function listManifest(
  manifest: Omit<Manifest, 'release'> & { readonly release: number | undefined },
  port: ManifestPort,
  { key, releaseHere }: { key: SigningKey; releaseHere: number },
): Promise<{ readonly listed: ListedManifest; readonly bytes: Uint8Array }> {
  const { model, version } = manifest
  const known = (await (await port.refresh()).listModels()).filter((each) => each.model === model)
  const newest = Math.max(releaseHere, ...known.map((each) => each.release))
  const release = manifest.release ?? newest + 1
  requireTrust(
    release > newest && known.every((each) => each.version !== version),
    'manifest_mismatch',
    () =>
      `Cannot publish ${model} ${version} as release ${release}: expected a new version and a release above ${newest}`,
  )
  const bytes = encodeManifest({ ...manifest, release })
  return { listed: await relistManifest(bytes, port, key), bytes }
}

/** Lists a version by the manifest that it has already: one that a registry has lost. */
export async function relistManifest(
  bytes: Uint8Array,
  port: ManifestPort,
  key: SigningKey,
): Promise<ListedManifest> {
  const { model, version, release } = parseManifest(bytes)
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
