import { readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolderDurably, sweepDrafts, writeDurably } from '../kit/durable-file.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'

/**
 * Where metadata is kept. Each file is replaced as a whole, in the order in which TUF accepts them, so what a power cut
 * leaves is always a state that the next update begins from. A torn file is as good as none: versions that were seen
 * are remembered elsewhere.
 */
export interface MetadataFiles {
  /** Undefined where there is none, or none that could be metadata. */
  read(name: string): Promise<Uint8Array | undefined>
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Nothing is wrong where it is not there. */
  remove(name: string): Promise<void>
}

const FILE_BYTES_MAX = 2 * 1024 * 1024

/** The file of a role. Role names come from metadata and may hold anything: they are quoted. */
export function roleFile(role: string): string {
  return `${encodeURIComponent(role)}.json`
}

const ROOT_HISTORY = 'root_history'

export function rootHistoryFile(version: number): string {
  return `${ROOT_HISTORY}/${version}.root.json`
}

export class MetadataFolder implements MetadataFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const path = join(this.#folder, name)
    const file = await stat(path).catch(() => undefined)
    if (!file?.isFile() || file.size > FILE_BYTES_MAX) return undefined
    return new Uint8Array(await readFile(path))
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#folder, name)
    try {
      await makeFolderDurably(dirname(path))
      await writeDurably(path, bytes)
    } catch (cause) {
      throw new EdgeError('storage_failed', `Cannot write "${path}": ${messageOf(cause)}`, { cause })
    }
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#folder, name), { force: true })
  }

  /** For the start: lets go of what was cut off while it was written. */
  async sweep(): Promise<void> {
    await sweepDrafts(this.#folder)
    await sweepDrafts(join(this.#folder, ROOT_HISTORY))
  }
}

export class MetadataMemory implements MetadataFiles {
  readonly files: Map<string, Uint8Array>

  constructor(files: Iterable<readonly [string, Uint8Array]> = []) {
    this.files = new Map(files)
  }

  read(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.files.get(name))
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    this.files.set(name, bytes)
    return Promise.resolve()
  }

  remove(name: string): Promise<void> {
    this.files.delete(name)
    return Promise.resolve()
  }
}

/** Other files with changes that are forgotten: for a look that leaves no trace. */
export class MetadataOverlay implements MetadataFiles {
  readonly #below: MetadataFiles
  readonly #changes = new MetadataMemory()

  constructor(below: MetadataFiles) {
    this.#below = below
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    return (await this.#changes.read(name)) ?? (await this.#below.read(name))
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    return this.#changes.write(name, bytes)
  }

  remove(name: string): Promise<void> {
    return this.#changes.remove(name)
  }
}
