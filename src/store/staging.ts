import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import type { Database } from '../kit/database.ts'
import { makeFolderDurably, removeFolderDurably, sweepDrafts, writeDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { Assembly } from './assembly.ts'
import { sha256Of } from './chunks/chunk-file.ts'
import { type ChunkIndex, decodeChunkIndex } from './chunks/chunk-index.ts'
import { OBJECT_BYTES_MAX } from './chunks/limits.ts'
import type { Package, PackageFile } from './package.ts'
import { checkPackagePaths } from './package-paths.ts'
import { PartProgress } from './part-progress.ts'
import { storageError } from './storage-error.ts'

/** Of stat(2), whatever the file system's blocks are. */
const BLOCK_BYTES = 512

/** An object by its hash, from wherever; undefined where nobody has it. */
export type FetchObject = (sha256: string, bytesMax: number) => Promise<Uint8Array | undefined>

/**
 * Versions on their way: `work/<manifest>/package/…` grows to be the version's folder, `work/<manifest>/indexes/…` keeps
 * the chunk indexes, so that a restart asks for nothing twice.
 */
export class Staging {
  readonly #work: string
  readonly #progress: PartProgress
  readonly #clock: Clock

  /** `work` is on the file system of the versions: a finished folder is moved there. */
  constructor(options: { work: string; database: Database; clock: Clock }) {
    this.#work = options.work
    this.#progress = new PartProgress(options.database)
    this.#clock = options.clock
  }

  /** Where the version's files grow. */
  folder({ manifest }: Pick<Package, 'manifest'>): string {
    return join(this.#work, manifest, 'package')
  }

  /** Its files, each to be filled, finished and closed. `fetchObject` is asked for the indexes that are not here yet. */
  async open(of: Package, fetchObject: FetchObject): Promise<Assembly[]> {
    checkPackagePaths(of.files.map(({ path }) => path))
    const assemblies: Assembly[] = []
    try {
      for (const file of of.files) {
        const index = (await this.#keptIndex(of, file)) ?? (await this.#fetchIndex(of, file, fetchObject))
        assemblies.push(await this.#openFile(of, file, index))
      }
      return assemblies
    } catch (error) {
      await closeAll(assemblies)
      throw error
    }
  }

  /** What the version already takes on the disk. */
  async usedBytes(of: Package): Promise<number> {
    const files = await Promise.all(
      of.files.map(({ path }) => stat(join(this.folder(of), path)).catch(() => undefined)),
    )
    return files.reduce((sum, file) => sum + (file === undefined ? 0 : file.blocks * BLOCK_BYTES), 0)
  }

  /** The indexes of a version whose files are all here. */
  async indexes(of: Package): Promise<Map<string, ChunkIndex>> {
    const indexes = new Map<string, ChunkIndex>()
    for (const file of of.files) {
      const index = await this.#keptIndex(of, file)
      if (index !== undefined) indexes.set(file.path, index)
    }
    return indexes
  }

  /** Lets go of what a version has on the way; of nothing, where there is nothing. */
  async discard({ manifest }: Pick<Package, 'manifest'>): Promise<void> {
    this.#progress.forgetAll(manifest)
    await removeFolderDurably(join(this.#work, manifest)).catch((error) => {
      if (error.code !== 'ENOENT') throw storageError(`remove the work on ${manifest}`, error)
    })
  }

  /** Lets go of everything but these. For the start: nobody writes yet. */
  async keepOnly(manifests: ReadonlySet<string>): Promise<void> {
    await sweepDrafts(this.#work)
    for (const name of await readdir(this.#work).catch(() => [])) {
      if (!manifests.has(name)) await this.discard({ manifest: name })
    }
  }

  async #openFile(of: Package, file: PackageFile, index: ChunkIndex): Promise<Assembly> {
    const path = join(this.folder(of), file.path)
    await makeFolderDurably(dirname(path)).catch((cause) => {
      throw storageError(`make the folder of "${path}"`, cause)
    })
    return await Assembly.open({
      progress: this.#progress,
      clock: this.#clock,
      key: { manifest: of.manifest, path: file.path, chunkIndex: file.chunk_index },
      path,
      index,
      sha256: file.sha256,
    })
  }

  /** Read again each time, hash and all: it may have rotted. */
  async #keptIndex(of: Package, file: PackageFile): Promise<ChunkIndex | undefined> {
    const bytes = await readFile(this.#indexPath(of, file)).catch(() => undefined)
    if (bytes === undefined || sha256Of(bytes) !== file.chunk_index) return undefined
    return decodeChunkIndex(bytes, { fileBytes: file.bytes })
  }

  async #fetchIndex(of: Package, file: PackageFile, fetchObject: FetchObject): Promise<ChunkIndex> {
    const { path, chunk_index: sha256, bytes: fileBytes } = file
    const bytes = await fetchObject(sha256, OBJECT_BYTES_MAX)
    if (bytes === undefined) {
      throw new EdgeError('peer_failed', `Cannot fetch the chunk index of "${path}": nobody has ${sha256}`)
    }
    const got = sha256Of(bytes)
    if (got !== sha256) {
      throw new TrustRefusal(
        'object_tampered',
        `Cannot use the chunk index of "${path}": it hashes to ${got}, expected ${sha256}`,
      )
    }
    const index = decodeChunkIndex(bytes, { fileBytes })
    const kept = this.#indexPath(of, file)
    try {
      await makeFolderDurably(dirname(kept))
      await writeDurably(kept, bytes)
    } catch (cause) {
      throw storageError(`keep the chunk index of "${path}"`, cause)
    }
    return index
  }

  #indexPath({ manifest }: Package, file: PackageFile): string {
    return join(this.#work, manifest, 'indexes', file.chunk_index)
  }
}

/** All of them, whatever becomes of one. */
export async function closeAll(assemblies: readonly Assembly[]): Promise<void> {
  const closed = await Promise.allSettled(assemblies.map((assembly) => assembly.close()))
  const failed = closed.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
