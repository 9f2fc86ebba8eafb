import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pointDurably } from '../../kit/durable-file.ts'
import { EdgeError } from '../../kit/errors.ts'
import { servedName } from '../../ota/package.ts'
import type { InstalledAt, Package, StorePort } from '../../ota/ports.ts'
import type { Installed } from '../../ota/update.ts'
import type { Assembly } from '../../store/assembly.ts'
import { type ChunkSource, download } from '../../store/download.ts'
import { isModelName, readModel } from '../../store/model-folder.ts'
import type { Package as Files } from '../../store/package.ts'
import type { Pointer } from '../../store/pointer.ts'
import type { Seeds } from '../../store/seeds.ts'
import { neededBytes, type Space } from '../../store/space.ts'
import { closeAll, type FetchObject, type Staging } from '../../store/staging.ts'
import { placeOf, type Versions } from '../../store/versions.ts'
import { frugal } from './frugal-source.ts'

/** In the place of a manifest's hash: of a model that came with the device, and that nobody has signed. */
const BUILT_IN = 'built-in'

export interface VersionsOnDiskParts {
  readonly modelsFolder: string
  /** A repository of models that came with the device; undefined where none did. */
  readonly builtInFolder: string | undefined
  readonly pointer: Pointer
  readonly versions: Versions
  readonly staging: Staging
  readonly seeds: Seeds
  readonly space: Space
  readonly source: ChunkSource
  readonly fetchObject: (sha256: string, bytesMax: number, signal: AbortSignal) => ReturnType<FetchObject>
  readonly readManifestBytes: (sha256: string) => Promise<Uint8Array | undefined>
  /** Manifests of versions that stay, whatever the space. */
  readonly kept: () => Promise<ReadonlySet<string>>
}

/** The store in the words of the update engine. */
export class VersionsOnDisk implements StorePort {
  readonly #parts: VersionsOnDiskParts

  constructor(parts: VersionsOnDiskParts) {
    this.#parts = parts
  }

  /** As they are served. */
  async pointerNames(): Promise<readonly string[]> {
    const names = await readdir(this.#parts.modelsFolder).catch(() => [])
    return names.filter(isModelName)
  }

  async models(): Promise<readonly string[]> {
    const names = await this.pointerNames()
    const places = await Promise.all(names.map((name) => this.#parts.pointer.read(name)))
    return places.flatMap((place) => (place === undefined ? [] : [modelOf(place)]))
  }

  async current(model: string): Promise<Installed | undefined> {
    const place = await this.#parts.pointer.read(servedName(model))
    if (place === undefined || modelOf(place) !== model) return undefined
    return await this.#parts.versions.read(place)
  }

  async isInstalled(of: InstalledAt): Promise<boolean> {
    return await this.#parts.versions.isInstalled(of)
  }

  async space(of: Package): Promise<{ neededBytes: number; freeBytes: number }> {
    const { space, staging } = this.#parts
    const usedBytes = await staging.usedBytes(filesOf(of))
    return { neededBytes: neededBytes(of.variant.files, usedBytes), freeBytes: await space.freeBytes() }
  }

  async makeRoom(bytes: number): Promise<number> {
    try {
      const kept = await this.#parts.kept()
      await this.#parts.space.makeRoom({ bytes, forWhat: 'a new version', kept })
    } catch (error) {
      if (!(error instanceof EdgeError) || error.code !== 'storage_full') throw error
    }
    return await this.#parts.space.freeBytes()
  }

  async fetch(of: Package, progress: (doneBytes: number) => void, signal: AbortSignal): Promise<void> {
    const assemblies = await this.#open(of, signal)
    const tell = () => progress(assemblies.reduce((sum, { doneBytes }) => sum + doneBytes, 0))
    try {
      for (const assembly of assemblies) {
        await this.#parts.seeds.fill(assembly, signal)
        tell()
        await download({ assembly, sources: [frugal(this.#parts.source)], signal, progress: tell })
      }
    } finally {
      await closeAll(assemblies)
    }
  }

  async verify(of: Package, progress: () => void, signal: AbortSignal): Promise<readonly string[]> {
    const assemblies = await this.#open(of, signal)
    const wrong: string[] = []
    try {
      for (const [index, assembly] of assemblies.entries()) {
        const isRight = assembly.missing().length === 0 && (await assembly.finish(signal)) === 0
        if (!isRight) wrong.push(of.variant.files[index]?.path ?? '')
        progress()
      }
    } finally {
      await closeAll(assemblies)
    }
    return wrong
  }

  async install(of: Package): Promise<void> {
    const { staging, versions, readManifestBytes } = this.#parts
    const manifest = await readManifestBytes(of.manifest)
    if (manifest === undefined)
      throw new EdgeError('storage_failed', `Cannot install ${of.model} ${of.version}: its manifest is gone`)
    await versions.install(filesOf(of), { staging, manifest })
  }

  folder(of: InstalledAt): string {
    return this.#parts.versions.folder(of)
  }

  async point(to: InstalledAt): Promise<void> {
    const name = servedName(to.model)
    if (to.manifest !== BUILT_IN) return await this.#parts.pointer.flip(name, placeOf(to))
    const { builtInFolder = '', modelsFolder } = this.#parts
    await pointDurably(join(modelsFolder, name), join(builtInFolder, name))
  }

  async unpoint(model: string): Promise<void> {
    await this.#parts.pointer.remove(servedName(model))
  }

  async isWhole(of: InstalledAt): Promise<boolean> {
    if (of.manifest === BUILT_IN) return (await this.#builtIn(of.model)) !== undefined
    return (await this.#parts.versions.wrongFiles(of)).length === 0
  }

  async remove(of: InstalledAt): Promise<void> {
    const place = placeOf(of)
    if ((await this.#parts.pointer.read(servedName(of.model))) !== place)
      await this.#parts.versions.remove(place)
  }

  async earlier(model: string): Promise<readonly Installed[]> {
    const { pointer, versions } = this.#parts
    const places = await pointer.previous(servedName(model))
    const found = await Promise.all(
      places.filter((place) => modelOf(place) === model).map((place) => versions.read(place)),
    )
    const builtIn = await this.#builtIn(model)
    return [...found, builtIn].filter((version) => version !== undefined)
  }

  async discard(manifest: string): Promise<void> {
    await this.#parts.staging.discard({ manifest })
  }

  /** Models that came with the device serve until something better comes. */
  async pointAtBuiltIn(): Promise<void> {
    const { builtInFolder, modelsFolder } = this.#parts
    if (builtInFolder === undefined) return
    const taken = new Set(await readdir(modelsFolder).catch(() => []))
    for (const name of await readdir(builtInFolder).catch(() => [])) {
      if (taken.has(name) || (await this.#builtIn(name)) === undefined) continue
      await pointDurably(join(modelsFolder, name), join(builtInFolder, name))
    }
  }

  async #builtIn(model: string): Promise<Installed | undefined> {
    const { builtInFolder } = this.#parts
    if (builtInFolder === undefined) return undefined
    const folder = await readModel(builtInFolder, servedName(model)).catch(() => undefined)
    const version = folder?.versions.at(-1)?.version
    return version === undefined ? undefined : { version, release: 0, manifest: BUILT_IN }
  }

  #open(of: Package, signal: AbortSignal): Promise<Assembly[]> {
    const { staging, fetchObject } = this.#parts
    return staging.open(filesOf(of), (sha256, bytesMax) => fetchObject(sha256, bytesMax, signal))
  }
}

function filesOf({ model, version, manifest, variant }: Package): Files {
  return { model, version, manifest, files: variant.files }
}

/** The first two parts of a place. */
function modelOf(place: string): string {
  return place.split('/').slice(0, 2).join('/')
}

/** The bytes of a manifest that lies beside the files of its version. */
export async function readInstalledManifest(
  versions: Versions,
  sha256: string,
): Promise<Uint8Array | undefined> {
  const found = (await versions.list()).find(({ manifest }) => manifest === sha256)
  if (found === undefined) return undefined
  return await readFile(join(versions.folder(found), 'manifest.json')).catch(() => undefined)
}
