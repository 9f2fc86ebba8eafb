import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describeFile } from './own-files.ts'

/** What a model is known by, and whether all of it is in one file. */
export interface ModelIdentity {
  /** SHA-256 over the names and hashes of all files of the version. */
  readonly digest: string
  readonly bytes: number
  readonly isOneFile: boolean
}

/** Models whose hash is remembered. */
const MODELS_MAX = 256
const FILES_MAX = 4096

/**
 * Hashes the model file and all that lies beside it, where its weights may be. A file that is the one it was before, by
 * number, size and times, is not read again: the hash only finds what was made of a model, and is no proof of it.
 */
export class ModelDigests {
  readonly #known = new Map<string, { readonly stamp: string; readonly identity: ModelIdentity }>()

  /** Undefined for what is no model of files that can be listed and read. */
  async of(path: string): Promise<ModelIdentity | undefined> {
    try {
      const files = await listFiles(dirname(path))
      if (files === undefined || !files.some(({ name }) => name === basename(path))) return undefined
      const stamp = files.map(({ stamp: one }) => one).join('\n')
      const known = this.#known.get(path)
      if (known?.stamp === stamp) return known.identity
      const identity = await identify(dirname(path), basename(path), files)
      this.#known.set(path, { stamp, identity })
      for (const first of this.#known.keys()) {
        if (this.#known.size <= MODELS_MAX) break
        this.#known.delete(first)
      }
      return identity
    } catch {
      // The load itself says what is wrong with it.
      return undefined
    }
  }
}

interface Listed {
  readonly name: string
  readonly bytes: number
  readonly stamp: string
}

async function listFiles(folder: string): Promise<readonly Listed[] | undefined> {
  const names = (await readdir(folder, { recursive: true })).sort()
  if (names.length > FILES_MAX) return undefined
  const files = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(folder, name), { bigint: true })
      const { dev, ino, size, mtimeNs, ctimeNs } = found
      return found.isFile()
        ? [{ name, bytes: Number(size), stamp: `${name} ${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}` }]
        : []
    }),
  )
  return files.flat()
}

async function identify(folder: string, model: string, files: readonly Listed[]): Promise<ModelIdentity> {
  const hash = createHash('sha256')
  for (const { name } of files) {
    const { sha256 } = await describeFile(folder, name)
    // The name of the model's own file is not part of what it is; that of another one may be written in it.
    hash.update(JSON.stringify([name === model ? '' : name, sha256]))
  }
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { digest: hash.digest('hex'), bytes, isOneFile: files.length === 1 }
}
