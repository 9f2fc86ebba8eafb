/** The store of a device, on some folder, and a way to bring a version through it. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/kit/clock.ts'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { download } from '../../src/store/download.ts'
import { Pointer } from '../../src/store/pointer.ts'
import { Seeds } from '../../src/store/seeds.ts'
import { closeAll, Staging } from '../../src/store/staging.ts'
import { Versions } from '../../src/store/versions.ts'
import type { FakeRegistry, StagedPackage } from './package-stage.ts'

export interface StoreStage {
  readonly database: Database
  readonly root: string
  readonly seeds: Seeds
  readonly staging: Staging
  readonly versions: Versions
  readonly pointer: Pointer
}

/** `state` is the device's state folder, which is there. */
export function openStore(state: string): StoreStage {
  const database = openDatabase(join(state, 'agent.sqlite'))
  const root = join(state, 'store/versions')
  const seeds = new Seeds({ database, root })
  const staging = new Staging({ work: join(state, 'store/work'), database, clock: systemClock })
  const versions = new Versions({ root, seeds })
  const pointer = new Pointer({ models: join(state, 'models'), database })
  return { database, root, seeds, staging, versions, pointer }
}

/** All of it but the pointer: what an update does from download to stage. Doing it again changes nothing. */
export async function bring(
  store: StoreStage,
  registry: FakeRegistry,
  version: StagedPackage,
): Promise<void> {
  const { seeds, staging, versions } = store
  if (await versions.isInstalled(version.of)) {
    await versions.install(version.of, { staging, manifest: version.manifest })
    return
  }
  const assemblies = await staging.open(version.of, registry.fetchObject)
  try {
    for (const assembly of assemblies) {
      await seeds.fill(assembly)
      await download({
        assembly,
        sources: [registry.source()],
        signal: new AbortController().signal,
        progress: () => undefined,
      })
      if ((await assembly.finish()) > 0) throw new Error(`${assembly.path} has wrong chunks`)
    }
  } finally {
    await closeAll(assemblies)
  }
  await versions.install(version.of, { staging, manifest: version.manifest })
}

/** As rot does: whatever may be written there and whatever may not. */
export async function damage(path: string, bytes: Uint8Array): Promise<void> {
  await rm(path)
  await writeFile(path, bytes)
}
