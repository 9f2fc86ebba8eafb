import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { openDatabase } from '../kit/database.ts'
import { makeFolderDurably } from '../kit/durable-file.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { KeptManifests } from '../publisher/kept-manifests.ts'
import type { RegistryClient } from '../publisher/registry-client.ts'
import { TrustClient } from '../trust/client.ts'
import { HighWaterTable } from '../trust/high-water.ts'
import { MetadataFolder } from '../trust/metadata-files.ts'
import { BUILD } from './build-info.ts'
import { openRegistryClient, type RegistryPlace } from './registry-client.ts'

export interface RegistryOptions extends RegistryPlace {
  /** Where trust in this registry begins; wanted once. */
  readonly root: string | undefined
  readonly state: string | undefined
}

const ENROLLED = 'enrolled-root.json'

/** A registry and what this machine trusts of it: roots and versions are remembered from one command to the next. */
export async function openRegistry(options: RegistryOptions): Promise<{
  readonly registry: RegistryClient
  readonly trust: TrustClient
  readonly manifests: KeptManifests
}> {
  const registry = await openRegistryClient(options)
  const state = options.state ?? readEnvironment().state
  const name = createHash('sha256').update(registry.origin).digest('hex').slice(0, 16)
  const folder = join(state, 'registries', name)
  await makeFolderDurably(folder, 0o700)
  const files = new MetadataFolder(folder)
  const highWater = new HighWaterTable(openDatabase(join(folder, 'versions.sqlite')))
  const trust = new TrustClient({
    files,
    highWater,
    clock: systemClock,
    builtMs: BUILD.committedMs,
    enrolledRoot: await chooseRoot(files, options),
    makeNonce: () => randomBytes(16).toString('hex'),
  })
  return { registry, trust, manifests: new KeptManifests(join(folder, 'manifests')) }
}

/** Whoever gives a root by hand knows where it came from; a registry's own word on that would be worth nothing. */
async function chooseRoot(files: MetadataFolder, { root, registry }: RegistryOptions): Promise<Uint8Array> {
  const kept = await files.read(ENROLLED)
  if (root === undefined) {
    if (kept !== undefined) return kept
    throw new EdgeError(
      'config_invalid',
      `Cannot trust the registry "${registry}": give --root FILE once, the root.json that "limpet keys init" made`,
    )
  }
  const given = await readFile(root).catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read the root "${root}": ${messageOf(cause)}`, { cause })
  })
  if (kept !== undefined && Buffer.compare(kept, given) !== 0) {
    throw new EdgeError(
      'config_invalid',
      `Cannot trust the registry "${registry}" by "${root}": it was trusted by another root before`,
    )
  }
  if (kept === undefined) await files.write(ENROLLED, new Uint8Array(given))
  return new Uint8Array(given)
}
