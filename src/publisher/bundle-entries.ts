import type { NewEntry } from '../bundle/writer.ts'
import { EdgeError } from '../kit/errors.ts'
import { sha256Of } from '../store/chunks/chunk-file.ts'
import { PackWriter } from '../store/chunks/pack.ts'
import type { TrustClient } from '../trust/client.ts'
import { HighWaterMemory } from '../trust/high-water.ts'
import { METADATA_BOUNDS } from '../trust/metadata-bounds.ts'
import { MetadataMemory } from '../trust/metadata-files.ts'
import { DIRECTOR_TARGET, splitModel } from '../trust/names.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { TufWorkflow } from '../trust/workflow.ts'
import type { RegistryClient } from './registry-client.ts'
import { VersionContent } from './version-content.ts'

export interface BundleOrder {
  readonly versions: readonly { readonly model: string; readonly version: string }[]
  /** Whose assignments go along. */
  readonly devices: readonly string[]
}

export interface BundleParts {
  readonly registry: RegistryClient
  readonly trust: TrustClient
  readonly nowMs: number
  readonly report: (line: string) => void
}

/** A pack in a bundle is read as a whole when the bundle is opened. */
const PACK_BYTES = 8 * 1024 * 1024

/** Everything that a device needs for these versions, verified before it goes in. */
export async function* bundleEntries(order: BundleOrder, parts: BundleParts): AsyncGenerator<NewEntry> {
  const { registry, trust, report } = parts
  const view = await trust.refresh(registry)
  yield* metadataEntries(order, parts)
  for (const device of order.devices) {
    yield { name: `assignments/${device}`, bytes: await registry.fetchAssignment(device) }
  }
  const packs = new Packs()
  for (const { model, version } of order.versions) {
    const { listed } = await view.facts(model, version)
    if (listed === undefined)
      throw new TrustRefusal(
        'model_unlisted',
        `Cannot bundle ${model} ${version}: no publisher has signed it`,
      )
    const content = await VersionContent.fetch(registry, listed)
    yield { name: `objects/${listed.sha256}`, bytes: content.manifestBytes }
    for await (const { path, bytes, index, chunks } of content.files()) {
      for await (const chunk of chunks) yield* packs.add({ ...chunk, length: chunk.bytes.length })
      yield objectEntry(index)
      report(`${model} ${version}: ${path}, ${bytes} bytes`)
    }
  }
  yield* packs.flush()
}

/** The way of a new device through the metadata: whatever it asks for goes along, from the second root on. */
async function* metadataEntries(
  order: BundleOrder,
  { registry, nowMs }: BundleParts,
): AsyncGenerator<NewEntry> {
  const asked = new Map<string, Uint8Array>()
  const source = {
    fetchMetadata: async (name: string, bytesMax: number) => {
      const bytes = await registry.fetchMetadata(name, bytesMax)
      if (bytes !== undefined) asked.set(name, bytes)
      return bytes
    },
  }
  const first = await registry.fetchMetadata('1.root.json', METADATA_BOUNDS.rootBytesMax)
  if (first === undefined)
    throw new EdgeError('peer_failed', 'Cannot bundle: the registry has no "1.root.json"')
  const workflow = new TufWorkflow(first, {
    source,
    files: new MetadataMemory(),
    highWater: new HighWaterMemory(),
    nowMs,
  })
  await workflow.refresh()
  for (const { model } of order.versions)
    await workflow.loadTargets(splitModel(model)?.family ?? '', 'targets')
  for (const [name, bytes] of asked) yield { name: `metadata/${name}`, bytes }
  const director = workflow.topTargets.targets[DIRECTOR_TARGET]
  const object = director && (await registry.fetchObject(director.hashes['sha256'] ?? '', director.length))
  if (object !== undefined) yield objectEntry(object)
}

function objectEntry(bytes: Uint8Array): NewEntry {
  return { name: `objects/${sha256Of(bytes)}`, bytes }
}

/** Chunks in packs, each chunk once, however many files have it. */
class Packs {
  readonly #known = new Set<string>()
  #pack = new PackWriter(PACK_BYTES)

  /** The packs that are full by now. */
  add(chunk: Parameters<PackWriter['add']>[0]): NewEntry[] {
    if (this.#known.has(chunk.sha256)) return []
    this.#known.add(chunk.sha256)
    if (this.#pack.add(chunk)) return []
    const full = this.flush()
    this.#pack.add(chunk)
    return full
  }

  flush(): NewEntry[] {
    if (this.#pack.count === 0) return []
    const { sha256, bytes } = this.#pack.finish()
    this.#pack = new PackWriter(PACK_BYTES)
    return [{ name: `packs/${sha256}`, bytes }]
  }
}
