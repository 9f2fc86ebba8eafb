import type { StorePort } from '../../ota/ports.ts'
import type { Disk } from './disk.ts'

/**
 * Versions that stay on the disk whatever the space: the current one of each model, the one before it, the last that has
 * proven itself, those that updates are about, and those that the assignment pins.
 */
export async function keptManifests(
  { journal, versions }: Disk,
  store: StorePort,
): Promise<ReadonlySet<string>> {
  const kept = new Set<string | undefined>()
  for (const model of await store.models()) {
    kept.add((await store.current(model))?.manifest)
    kept.add((await store.earlier(model))[0]?.manifest)
    kept.add(journal.good(model)?.manifest)
  }
  for (const { manifest, previous } of journal.working()) {
    kept.add(manifest)
    kept.add(previous?.manifest)
  }
  const { models = [], keep = [] } = journal.assignment ?? {}
  for (const { manifest } of models) kept.add(manifest)
  for (const { model, version, manifest } of await versions.list()) {
    if (keep.includes(`${model}@${version}`)) kept.add(manifest)
  }
  return new Set([...kept].filter((manifest) => manifest !== undefined))
}
