import { chmod, mkdir, readdir, readFile, rm, stat, statfs, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { makeFolderDurably, moveFolderDurably, removeFolderDurably } from '../kit/durable-file.ts'
import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import { EngineCounts } from './counts.ts'
import { chooseEvicted, type Kept } from './eviction.ts'
import { type EngineFacts, engineKey } from './key.ts'
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_NAME,
  type Manifest,
  type ManifestFile,
  readManifest,
  writeManifest,
} from './manifest.ts'
import { checkFile, copyChecked, describeFile, foreignBecause, readChecked } from './own-files.ts'

/** Names in the folder: entries by their key; what is being made or taken out, hidden, with whose process it is. */
const KEY = /^[0-9a-f]{64}$/
const DRAFT = /^\..*\.draft$/
const DRAFT_OF = /^\.[0-9a-f]{64}\.(\d+)\./
/** Marks of what cannot be kept take hardly any room, but they are files too. */
const ENTRIES_MAX = 1024
/** Left to everybody else on this disk. */
const FREE_BYTES_MIN = 256 * 1024 ** 2

export interface EngineCacheOptions {
  readonly folder: string
  readonly bytesMax: number
  /** Makes room for what comes: only the process that knows what serves may. Others add what fits. */
  readonly isKeeper: boolean
  readonly clock: Clock
  /** Free bytes of the disk of a path. */
  readonly freeBytes?: (path: string) => Promise<number>
}

/** An entry whose manifest is whole. Its files are not looked at before they are read. */
export interface Entry {
  readonly key: string
  readonly manifest: Manifest
}

/** An entry as it lies there; without a manifest where that is not whole. */
export interface Listed extends Kept {
  readonly manifest: Manifest | undefined
}

const NOTHING = { size: 0, mtimeMs: 0 }

/**
 * What runtimes have made of models, on disk, so that it need not be made again. An entry is a folder that never changes,
 * put into its place in one rename after everything in it was synced. Nothing of it is given out that was not hashed on
 * the way: a disk that rots, or somebody who can write there, must not decide what runs here.
 */
export class EngineCache {
  readonly counts = new EngineCounts()
  readonly #options: EngineCacheOptions
  readonly #held = new Map<string, number>()
  readonly #log: Logger = logger('engines')
  /** Why nothing is kept here; undefined where it is. */
  #problem: string | undefined

  private constructor(options: EngineCacheOptions) {
    this.#options = options
  }

  static async open(options: EngineCacheOptions): Promise<EngineCache> {
    const cache = new EngineCache(options)
    try {
      await makeFolderDurably(options.folder, 0o700)
      const foreign = await foreignBecause(options.folder)
      if (foreign !== undefined) cache.#giveUp(`${foreign}, expected a folder of this user's alone`)
      else await cache.#sweep()
    } catch (error) {
      cache.#giveUp(messageOf(error))
    }
    return cache
  }

  /** For looking at what is there: nothing is made, swept or kept. */
  static async look(
    options: Pick<EngineCacheOptions, 'folder' | 'bytesMax' | 'clock'>,
  ): Promise<EngineCache> {
    const cache = new EngineCache({ ...options, isKeeper: false })
    if (await isThere(options.folder)) cache.#problem = await foreignBecause(options.folder).catch(messageOf)
    return cache
  }

  get problem(): string | undefined {
    return this.#problem
  }

  get bytesMax(): number {
    return this.#options.bytesMax
  }

  /** The entry of a key, and a note that it was wanted; undefined where there is none that is whole. */
  async find(key: string): Promise<Entry | undefined> {
    if (this.#problem !== undefined) return undefined
    const folder = this.#path(key)
    if (!(await isThere(folder))) return undefined
    const manifest = (await foreignBecause(folder).catch(messageOf)) ?? (await readEntry(folder, key))
    if (typeof manifest === 'string') {
      await this.discard(key, manifest)
      return undefined
    }
    const now = new Date(this.#options.clock.now())
    await utimes(join(folder, MANIFEST_NAME), now, now).catch(() => undefined)
    return { key, manifest }
  }

  /** A file's bytes, undefined where they are not what was written: then the entry is gone. */
  async read({ key }: Entry, file: ManifestFile): Promise<Uint8Array | undefined> {
    const bytes = await readChecked(this.#path(key), file).catch(messageOf)
    if (typeof bytes !== 'string') return bytes
    await this.discard(key, bytes)
    return undefined
  }

  /** All its files in a folder of the caller's own; undefined where one is not what was written. */
  async copy({ key, manifest }: Entry): Promise<string | undefined> {
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0)
    const draft = await this.draft(key, bytes)
    if (draft === undefined) return undefined
    for (const file of manifest.files) {
      const problem = await copyChecked(this.#path(key), file, draft).catch(messageOf)
      if (problem === undefined) continue
      await this.drop(draft)
      await this.discard(key, problem)
      return undefined
    }
    return draft
  }

  /** A folder to make an entry in, of about so many bytes; undefined, and said, where there is no room for it. */
  async draft(key: string, bytes: number): Promise<string | undefined> {
    if (this.#problem !== undefined || bytes > this.bytesMax) return undefined
    try {
      const freeBytes = await (this.#options.freeBytes ?? freeBytesOf)(this.#options.folder)
      if (freeBytes - bytes < FREE_BYTES_MIN) {
        this.#fail(`the disk has ${freeBytes} bytes free, ${bytes + FREE_BYTES_MIN} are needed`)
        return undefined
      }
      const draft = this.#path(`.${key}.${process.pid}.${crypto.randomUUID()}.draft`)
      await mkdir(draft, { mode: 0o700 })
      return draft
    } catch (error) {
      this.#fail(messageOf(error))
      return undefined
    }
  }

  /** Makes a draft an entry, with what lies in it. That it could not be kept is counted and said, and no error. */
  async keep(draft: string, manifest: Omit<Manifest, 'format' | 'files'>): Promise<void> {
    const key = engineKey(manifest.facts)
    try {
      const names = (await readdir(draft)).sort()
      const files: ManifestFile[] = []
      for (const name of names) {
        // Whoever made it may not have thought of who may write it.
        await chmod(join(draft, name), 0o600)
        files.push(await describeFile(draft, name))
      }
      const wantedBytes = files.reduce((sum, file) => sum + file.bytes, 0)
      if (!(await this.#makeRoom(wantedBytes, key))) {
        this.#fail(`what is kept may take ${this.bytesMax} bytes, there is no room for ${wantedBytes} more`)
        return await this.drop(draft)
      }
      await writeFile(join(draft, MANIFEST_NAME), writeManifest({ format: 1, ...manifest, files }), {
        mode: 0o600,
      })
      await this.#place(draft, key, manifest.facts.kind)
      this.counts.kept += 1
      const { madeFor, unfit } = manifest
      this.#log.info('engines.kept', { key, made_for: madeFor, bytes: wantedBytes, ...(unfit && { unfit }) })
    } catch (error) {
      this.#fail(messageOf(error))
      await this.drop(draft)
    }
  }

  /** What was made and is not to be kept. */
  async drop(draft: string): Promise<void> {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined)
  }

  /** Takes an entry out that is not what it should be. */
  async discard(key: string, problem: string): Promise<void> {
    this.counts.invalid += 1
    this.#log.warn('engines.invalid', { key, problem })
    await removeFolderDurably(this.#path(key)).catch((error: unknown) => {
      if (!isMissing(error)) this.#log.warn('engines.not_removed', { key, reason: messageOf(error) })
    })
  }

  /** Until the function that this gives is called, the entry is not removed to make room. */
  hold(key: string): () => void {
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
    return () => {
      const left = (this.#held.get(key) ?? 1) - 1
      if (left === 0) this.#held.delete(key)
      else this.#held.set(key, left)
    }
  }

  /** All entries, the most recently used first. */
  async list(): Promise<readonly Listed[]> {
    const names = await readdir(this.#options.folder).catch(() => [])
    const entries = await Promise.all(names.filter((name) => KEY.test(name)).map((key) => this.#look(key)))
    return entries.sort((one, other) => other.usedMs - one.usedMs)
  }

  /** Brings what others have added within the bound. */
  async trim(): Promise<void> {
    if (this.#problem === undefined) await this.#makeRoom(0, '').catch(() => false)
  }

  /** What is wrong with an entry, its files included; it is left as it is. */
  async check(key: string): Promise<string | undefined> {
    const manifest = await readEntry(this.#path(key), key)
    if (typeof manifest === 'string') return manifest
    for (const file of manifest.files) {
      const problem = await checkFile(this.#path(key), file).catch(messageOf)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  async #look(key: string): Promise<Listed> {
    const { size, mtimeMs } = await stat(join(this.#path(key), MANIFEST_NAME)).catch(() => NOTHING)
    const manifest = await readEntry(this.#path(key), key)
    if (typeof manifest === 'string') return { key, bytes: size, usedMs: mtimeMs, manifest: undefined }
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, size)
    return { key, bytes, usedMs: mtimeMs, manifest }
  }

  /** False where what comes does not fit. What has its key is on its way out. */
  async #makeRoom(wantedBytes: number, key: string): Promise<boolean> {
    const entries = (await this.list()).filter((entry) => entry.key !== key)
    const { bytesMax, isKeeper } = this.#options
    // Who does not know what serves takes nothing out: whatever is there may be what serves.
    const held = new Set(isKeeper ? this.#held.keys() : entries.map((entry) => entry.key))
    const bounds = { bytesMax, entriesMax: ENTRIES_MAX }
    const evicted = chooseEvicted(entries, {
      wanted: { bytes: wantedBytes, entries: key === '' ? 0 : 1 },
      held,
      ...bounds,
    })
    if (evicted === undefined) return false
    for (const entry of evicted) {
      await removeFolderDurably(this.#path(entry.key))
      this.counts.evicted += 1
      this.#log.info('engines.evicted', { key: entry.key, bytes: entry.bytes })
    }
    return true
  }

  /** Of two that have made the same at once, the first one stays; engines grow, and the latest has the most. */
  async #place(draft: string, key: string, kind: EngineFacts['kind']): Promise<void> {
    if (kind === 'engine' && (await isThere(this.#path(key)))) await removeFolderDurably(this.#path(key))
    try {
      await moveFolderDurably(draft, this.#path(key))
    } catch (error) {
      if (!isTaken(error)) throw error
      await this.drop(draft)
    }
  }

  /** What processes have left behind that are no more; a process that starts anew has left all that is its own. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#options.folder)) {
      if (!DRAFT.test(name)) continue
      const pid = Number(DRAFT_OF.exec(name)?.[1] ?? 0)
      const isAtWork = pid !== 0 && pid !== process.pid && (await isThere(`/proc/${pid}`))
      if (!isAtWork) await rm(this.#path(name), { recursive: true, force: true })
    }
  }

  #path(name: string): string {
    return join(this.#options.folder, name)
  }

  #giveUp(problem: string): void {
    this.#problem = problem
    this.#log.warn('engines.cache_unusable', { folder: this.#options.folder, problem })
  }

  #fail(reason: string): void {
    this.counts.failed += 1
    this.#log.warn('engines.not_kept', { reason })
  }
}

/** What the folder of a key says of itself, or what is wrong with that. */
async function readEntry(folder: string, key: string): Promise<Manifest | string> {
  const path = join(folder, MANIFEST_NAME)
  try {
    const { size } = await stat(path)
    if (size > MANIFEST_BYTES_MAX) return `"${path}" has ${size} bytes, at most ${MANIFEST_BYTES_MAX}`
    const manifest = readManifest(await readFile(path))
    if (manifest === undefined) return `"${path}" is not what was written`
    return engineKey(manifest.facts) === key ? manifest : `"${path}" belongs to another key`
  } catch (error) {
    return messageOf(error)
  }
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}

const isMissing = (error: unknown) => codeOf(error) === 'ENOENT'
const isTaken = (error: unknown) => codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST'
