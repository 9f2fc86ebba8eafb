import { chmod, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  makeFolderDurably,
  moveFolderDurably,
  removeFolderDurably,
  sweepDrafts,
  writeDurably,
} from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { type Manifest, parseManifest } from '../trust/manifest.ts'
import { sha256Of } from './chunks/chunk-file.ts'
import { hashFile } from './file-hash.ts'
import type { Package, PackageFile } from './package.ts'
import { MANIFEST_NAME } from './package-paths.ts'
import type { Seeds } from './seeds.ts'
import type { Staging } from './staging.ts'
import { storageError } from './storage-error.ts'

/** A version by what names it. */
export type VersionKey = Pick<Package, 'model' | 'version' | 'manifest'>

export interface InstalledVersion extends VersionKey {
  readonly release: number
  /** Below the versions: what a pointer leads to. */
  readonly place: string
  readonly bytes: number
  /** Wall time at which it was put there, milliseconds. */
  readonly installedMs: number
}

const PLACE = /^[^/]+\/[^/]+\/([^/]+)-([0-9a-f]{16})$/
const DIGEST_CHARACTERS = 16
const FILE_MODE = 0o444
const FOLDER_MODE = 0o555
const WRITABLE_MODE = 0o755

/**
 * Whole versions in `versions/<family>/<name>/<version>-<first of the manifest's SHA-256>/`, each with the signed
 * manifest in it. A version is there as a whole or not at all, and never changes.
 */
export class Versions {
  readonly #root: string
  readonly #seeds: Seeds

  /** `root` is the folder of the versions; the seeds are of the same folder. */
  constructor(options: { root: string; seeds: Seeds }) {
    this.#root = options.root
    this.#seeds = options.seeds
  }

  folder(of: VersionKey): string {
    return join(this.#root, placeOf(of))
  }

  async isInstalled(of: VersionKey): Promise<boolean> {
    return (await this.read(placeOf(of)))?.manifest === of.manifest
  }

  /** All that are there, by place. What is no version is passed over. */
  async list(): Promise<InstalledVersion[]> {
    const found = await Promise.all((await this.#places()).map((place) => this.read(place)))
    return found.filter((version) => version !== undefined)
  }

  /** What is at a place, by the manifest that lies there; undefined where that is missing or another one. */
  async read(place: string): Promise<InstalledVersion | undefined> {
    const digest = PLACE.exec(place)?.[2]
    const manifest = await this.#manifest(place)
    if (digest === undefined || manifest === undefined) return undefined
    const sha256 = sha256Of(manifest.bytes)
    const parsed = sha256.startsWith(digest) ? parsedOrNone(manifest.bytes) : undefined
    if (parsed === undefined) return undefined
    const { model, version, release, variants } = parsed
    const files = await this.#variantAt(place, variants)
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    return { model, version, release, manifest: sha256, place, bytes, installedMs: manifest.changedMs }
  }

  /**
   * Moves a finished version to its place: before, it is not there; after, it is whole. Doing it again changes nothing,
   * wherever a power cut has stopped it.
   */
  async install(of: Package, from: { staging: Staging; manifest: Uint8Array }): Promise<void> {
    const place = placeOf(of)
    const folder = join(this.#root, place)
    try {
      const indexes = await from.staging.indexes(of)
      if (!(await this.isInstalled(of))) await this.#move(of, from)
      // The folder itself could not be moved if it were read-only.
      await protect(folder)
      if (indexes.size === of.files.length) this.#seeds.add(place, indexes)
      await from.staging.discard(of)
    } catch (cause) {
      throw storageError(`install ${of.model} ${of.version}`, cause)
    }
  }

  /** Hashes every file: the paths of those that are not what the manifest says. Empty: it is whole. */
  async wrongFiles(of: VersionKey, signal?: AbortSignal): Promise<string[]> {
    const place = placeOf(of)
    const manifest = await this.#manifest(place)
    if (manifest === undefined || sha256Of(manifest.bytes) !== of.manifest) return [MANIFEST_NAME]
    const parsed = parsedOrNone(manifest.bytes)
    if (parsed === undefined) return [MANIFEST_NAME]
    const files = await this.#variantAt(place, parsed.variants)
    const wrong: string[] = []
    for (const { path, sha256 } of files) {
      const got = await hashFile(join(this.#root, place, path), signal).catch(() => undefined)
      signal?.throwIfAborted()
      if (got !== sha256) wrong.push(path)
    }
    return wrong
  }

  /** Gone at once. A chunk that another update would have taken from it is fetched instead. */
  async remove(place: string): Promise<void> {
    const folder = join(this.#root, place)
    try {
      await unprotect(folder)
      await removeFolderDurably(folder)
    } catch (cause) {
      throw storageError(`remove "${place}"`, cause)
    }
    this.#seeds.forget(place)
  }

  /**
   * For the start: lets go of what was half removed and of what is no version any more, unless a pointer leads to it, and
   * forgets the chunks of what is gone.
   */
  async sweep(pointed: ReadonlySet<string>): Promise<void> {
    for (const family of await foldersIn(this.#root)) {
      for (const name of await foldersIn(join(this.#root, family))) {
        await sweepDrafts(join(this.#root, family, name))
      }
    }
    for (const place of await this.#places()) {
      if (!pointed.has(place) && (await this.read(place)) === undefined) await this.remove(place)
    }
    for (const place of this.#seeds.folders()) {
      if ((await this.read(place)) === undefined) this.#seeds.forget(place)
    }
  }

  async #places(): Promise<string[]> {
    const places: string[] = []
    for (const family of await foldersIn(this.#root)) {
      for (const name of await foldersIn(join(this.#root, family))) {
        const folders = await foldersIn(join(this.#root, family, name))
        places.push(...folders.map((folder) => `${family}/${name}/${folder}`))
      }
    }
    return places
  }

  async #move(of: Package, { staging, manifest }: { staging: Staging; manifest: Uint8Array }): Promise<void> {
    const draft = staging.folder(of)
    await writeDurably(join(draft, MANIFEST_NAME), manifest)
    await removeOthers(draft, of.files)
    for (const { path } of of.files) await chmod(join(draft, path), FILE_MODE)
    await chmod(join(draft, MANIFEST_NAME), FILE_MODE)
    const folder = this.folder(of)
    await makeFolderDurably(dirname(folder))
    // Something is there and is not this version: its manifest has rotted. Nothing may be moved over it.
    if (await isThere(folder)) await this.remove(placeOf(of))
    await moveFolderDurably(draft, folder)
  }

  async #manifest(place: string): Promise<{ bytes: Uint8Array; changedMs: number } | undefined> {
    const path = join(this.#root, place, MANIFEST_NAME)
    try {
      const { mtimeMs } = await stat(path)
      return { bytes: await readFile(path), changedMs: Math.round(mtimeMs) }
    } catch {
      return undefined
    }
  }

  /** Which variant lies there: the one of whose files the most are there in the right size. */
  async #variantAt(
    place: string,
    variants: readonly { readonly files: readonly PackageFile[] }[],
  ): Promise<readonly PackageFile[]> {
    const [first] = variants
    if (variants.length === 1 && first !== undefined) return first.files
    let best: { files: readonly PackageFile[]; missing: number } = {
      files: [],
      missing: Number.POSITIVE_INFINITY,
    }
    for (const { files } of variants) {
      const sizes = await Promise.all(
        files.map(({ path }) => stat(join(this.#root, place, path)).catch(() => undefined)),
      )
      const missing = files.filter(({ bytes }, index) => sizes[index]?.size !== bytes).length
      if (missing < best.missing) best = { files, missing }
    }
    return best.files
  }
}

/** Below the versions; the same for ever, whether something is there or not. */
export function placeOf({ model, version, manifest }: VersionKey): string {
  const place = `${model}/${version}-${manifest.slice(0, DIGEST_CHARACTERS)}`
  if (PLACE.test(place)) return place
  throw new EdgeError('input_invalid', `Cannot find the place of "${model}" ${version}: expected family/name`)
}

/** One that this Limpet cannot read is no version to it; the others are. */
function parsedOrNone(bytes: Uint8Array): Manifest | undefined {
  try {
    return parseManifest(bytes)
  } catch {
    return undefined
  }
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

/** What another variant of the same version has left in the folder. */
async function removeOthers(folder: string, files: readonly PackageFile[]): Promise<void> {
  const wanted = new Set([MANIFEST_NAME, ...files.map(({ path }) => path)])
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isDirectory() && !wanted.has(path.slice(folder.length + 1))) await rm(path)
  }
}

async function protect(folder: string): Promise<void> {
  await changeFolders(folder, FOLDER_MODE)
}

async function unprotect(folder: string): Promise<void> {
  await changeFolders(folder, WRITABLE_MODE)
}

async function changeFolders(folder: string, mode: number): Promise<void> {
  for (const name of await foldersIn(folder)) await changeFolders(join(folder, name), mode)
  await chmod(folder, mode)
}
