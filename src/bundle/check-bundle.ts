import { type ListedManifest, type Manifest, readManifest } from '../trust/manifest.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import type { TrustView } from '../trust/view.ts'
import type { Bundle } from './bundle.ts'

/** A version that a bundle brings. */
export interface Brought {
  readonly listed: ListedManifest
  /** Names of its variants of which every byte is there. */
  readonly variants: readonly string[]
}

/** What a device could take out of a bundle: signed, and there. `view` is of the bundle's own metadata. */
export async function listBrought(bundle: Bundle, view: TrustView): Promise<Brought[]> {
  const brought: Brought[] = []
  for (const family of view.families()) {
    for (const { floor, ...listed } of await listHeld(view, family)) {
      const bytes = await bundle.fetchObject(listed.sha256, listed.bytes)
      if (bytes === undefined || listed.release < floor) continue
      const variants = await wholeVariants(bundle, readManifest(bytes, listed))
      if (variants.length > 0) brought.push({ listed, variants })
    }
  }
  return brought
}

/** Nothing of a family whose metadata was left out. */
async function listHeld(view: TrustView, family: string) {
  try {
    return await view.listModels([family])
  } catch (error) {
    if (error instanceof TrustRefusal && error.reason === 'metadata_missing') return []
    throw error
  }
}

async function wholeVariants(bundle: Bundle, manifest: Manifest): Promise<string[]> {
  const names: string[] = []
  for (const { name, files } of manifest.variants) {
    const held = await Promise.all(files.map((file) => bundle.holds(file)))
    if (held.every(Boolean)) names.push(name)
  }
  return names
}
