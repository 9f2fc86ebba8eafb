import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** What the kernel tells in one file is a line or a page. */
const BYTES_MAX = 64 * 1024
const NAMES_MAX = 1024

/** The kernel's files, below a root that a test may choose. */
export interface Files {
  /** Undefined where it is not there or does not want to be read: a sensor that is switched off answers so. */
  read(path: string): Promise<string | undefined>
  /** Names in a folder, sorted; none where there is no such folder. */
  list(path: string): Promise<string[]>
}

export class RootFiles implements Files {
  readonly #root: string

  constructor(root = '/') {
    this.#root = root
  }

  async read(path: string): Promise<string | undefined> {
    try {
      await using file = await open(join(this.#root, path))
      const bytes = Buffer.alloc(BYTES_MAX)
      let length = 0
      // Files of /proc say that they are empty, and come in pieces.
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, BYTES_MAX - length)
        length += bytesRead
        if (bytesRead === 0 || length === BYTES_MAX) break
      }
      return bytes.toString('utf8', 0, length).replaceAll('\0', '').trim()
    } catch {
      return undefined
    }
  }

  async list(path: string): Promise<string[]> {
    const names = await readdir(join(this.#root, path)).catch(() => [])
    return names.toSorted().slice(0, NAMES_MAX)
  }
}

/** A number in a file of its own; undefined where it is not there or is none. */
export async function readNumber(files: Files, path: string): Promise<number | undefined> {
  const text = await files.read(path)
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}
