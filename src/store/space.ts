import { mkdir, statfs } from 'node:fs/promises'
import { EdgeError } from '../kit/errors.ts'
import type { PackageFile } from './package.ts'
import { storageError } from './storage-error.ts'
import type { InstalledVersion, Versions } from './versions.ts'

/** What a version may need on the disk: its files, the largest of them once more, and a tenth; without what is there. */
export function neededBytes(files: readonly PackageFile[], doneBytes: number): number {
  const sizes = files.map((file) => file.bytes)
  const bytes = sizes.reduce((sum, size) => sum + size, 0) + Math.max(0, ...sizes)
  // The tenth is for journals, logs, and what the file system itself takes.
  return Math.max(0, bytes + Math.ceil(bytes / 10) - doneBytes)
}

/**
 * What may go, in the order in which it goes: everything but the kept ones, which are the current version of each model,
 * the one before it, those that an assignment pins and those that an update is about. The oldest on this disk go first.
 */
export function removable(
  installed: readonly InstalledVersion[],
  kept: ReadonlySet<string>,
): InstalledVersion[] {
  return installed
    .filter(({ manifest }) => !kept.has(manifest))
    .sort((one, other) => one.installedMs - other.installedMs || one.release - other.release)
}

/** The room on the disk that the versions lie on. */
export class Space {
  readonly #root: string
  readonly #versions: Versions
  readonly #measure: (path: string) => Promise<number>

  constructor(options: {
    root: string
    versions: Versions
    /** Free bytes of the disk of a path. */
    measure?: (path: string) => Promise<number>
  }) {
    this.#root = options.root
    this.#versions = options.versions
    this.#measure = options.measure ?? freeBytesOf
  }

  async freeBytes(): Promise<number> {
    try {
      await mkdir(this.#root, { recursive: true })
      return await this.#measure(this.#root)
    } catch (cause) {
      throw storageError(`measure the free space of "${this.#root}"`, cause)
    }
  }

  /** Removes one version after the other until so much is free; none, where all of them together would not do. */
  async makeRoom(wanted: {
    readonly bytes: number
    readonly forWhat: string
    /** SHA-256 of the manifests that stay. */
    readonly kept: ReadonlySet<string>
  }): Promise<InstalledVersion[]> {
    const removed: InstalledVersion[] = []
    let free = await this.freeBytes()
    if (free >= wanted.bytes) return removed
    const candidates = removable(await this.#versions.list(), wanted.kept)
    const most = free + candidates.reduce((sum, { bytes }) => sum + bytes, 0)
    if (most < wanted.bytes)
      throw noRoom(wanted, `${free} are free, ${most - free} more without old versions`)
    for (const version of candidates) {
      await this.#versions.remove(version.place)
      removed.push(version)
      free = await this.freeBytes()
      if (free >= wanted.bytes) return removed
    }
    throw noRoom(wanted, `${free} are free after ${removed.length} old versions were removed`)
  }
}

function noRoom({ bytes, forWhat }: { bytes: number; forWhat: string }, what: string): EdgeError {
  return new EdgeError(
    'storage_full',
    `Cannot make room for ${forWhat}: it needs ${bytes} bytes, ${what}; unpin versions, remove other files, or use a larger disk`,
  )
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
