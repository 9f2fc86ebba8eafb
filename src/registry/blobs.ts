import { createHash } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolderDurably, sweepDrafts, writePiecesDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'

const SHA256 = /^[0-9a-f]{64}$/

function isSha256(text: string): boolean {
  return SHA256.test(text)
}

/** What was put into a folder of blobs. */
export interface Blob {
  readonly sha256: string
  readonly bytes: number
}

/** Files named by the SHA-256 of what is in them: whole and right, or not there. */
export class Blobs {
  readonly #folder: string
  /** What one of them is called in messages. */
  readonly #what: string
  readonly #bytesMax: number

  private constructor(folder: string, options: { what: string; bytesMax: number }) {
    this.#folder = folder
    this.#what = options.what
    this.#bytesMax = options.bytesMax
  }

  static async open(folder: string, options: { what: string; bytesMax: number }): Promise<Blobs> {
    await makeFolderDurably(folder)
    await sweepDrafts(folder)
    return new Blobs(folder, options)
  }

  path(sha256: string): string {
    // Refused here as well: whatever the way it came, a name never leaves the folder.
    if (!isSha256(sha256)) throw this.#unknown(sha256)
    return join(this.#folder, sha256)
  }

  async find(sha256: string): Promise<Blob> {
    const found = await stat(this.path(sha256)).catch(() => undefined)
    if (found === undefined || !found.isFile()) throw this.#unknown(sha256)
    return { sha256, bytes: found.size }
  }

  /** The whole of a small one. */
  async read(sha256: string): Promise<Uint8Array> {
    await this.find(sha256)
    return await Bun.file(this.path(sha256)).bytes()
  }

  /**
   * Takes it in piece by piece. `check` sees the finished draft before it gets its name, and refuses it by throwing:
   * what has its name has been checked.
   */
  async put(
    pieces: AsyncIterable<Uint8Array>,
    options: { expected?: string; check?: (draft: string) => Promise<void> } = {},
  ): Promise<Blob> {
    const hash = createHash('sha256')
    let bytes = 0
    const counted = async function* (this: Blobs) {
      for await (const piece of pieces) {
        bytes += piece.byteLength
        if (bytes > this.#bytesMax) throw this.#tooLarge()
        hash.update(piece)
        yield piece
      }
    }.bind(this)

    let sha256 = ''
    await writePiecesDurably(this.#folder, counted(), async (draft) => {
      sha256 = hash.digest('hex')
      if (options.expected !== undefined && options.expected !== sha256)
        throw this.#mismatch(options.expected, sha256)
      await options.check?.(draft)
      return this.path(sha256)
    })
    return { sha256, bytes }
  }

  async remove(sha256: string): Promise<void> {
    await rm(this.path(sha256), { force: true })
  }

  async list(): Promise<string[]> {
    return (await readdir(this.#folder)).filter(isSha256).sort()
  }

  #unknown(sha256: string): EdgeError {
    return new EdgeError('not_found', `Cannot find ${this.#what} "${sha256}": there is none`)
  }

  #tooLarge(): EdgeError {
    return new EdgeError(
      'body_too_large',
      `Cannot take the ${this.#what}: it has more than ${this.#bytesMax} bytes, at most ${this.#bytesMax}`,
    )
  }

  #mismatch(expected: string, sha256: string): EdgeError {
    return new EdgeError(
      'input_invalid',
      `Cannot take the ${this.#what}: its SHA-256 is ${sha256}, expected ${expected}`,
    )
  }
}
