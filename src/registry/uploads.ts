import { createHash } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { makeFolderDurably, sweepDrafts, writePiecesDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { CommandId, UPLOAD_BYTES_MAX } from '../link/commands.ts'

const BYTES_MAX = 1024 ** 3
const DAYS_MAX = 7
const DAY_MS = 86_400_000
const AT_ONCE_MAX = 4

export interface Upload {
  readonly bytes: number
  readonly sha256: string
}

/** What devices bring because they were asked to, by the command's id. Kept for days, and the oldest go for newer ones. */
export class Uploads {
  readonly #folder: string
  readonly #clock: Clock
  readonly #bytesMax: number
  #underWay = 0

  private constructor(parts: { folder: string; clock: Clock; bytesMax: number }) {
    this.#folder = parts.folder
    this.#clock = parts.clock
    this.#bytesMax = parts.bytesMax
  }

  static async open(folder: string, parts: { clock: Clock; bytesMax?: number }): Promise<Uploads> {
    await makeFolderDurably(folder, 0o700)
    await sweepDrafts(folder)
    return new Uploads({ bytesMax: BYTES_MAX, ...parts, folder })
  }

  /** Written as it comes; whole or not at all. */
  async put(id: string, pieces: AsyncIterable<Uint8Array>): Promise<Upload> {
    if (this.#underWay >= AT_ONCE_MAX) {
      throw new EdgeError(
        'queue_full',
        `Cannot take an upload: ${AT_ONCE_MAX} are under way, at most ${AT_ONCE_MAX}`,
      )
    }
    this.#underWay += 1
    try {
      await this.#makeRoom()
      const measured = new Measured(pieces)
      await writePiecesDurably(this.#folder, measured, () => Promise.resolve(this.#path(id)))
      return { bytes: measured.bytes, sha256: measured.sha256 }
    } finally {
      this.#underWay -= 1
    }
  }

  /** Undefined: it never came, or has gone since. */
  async open(id: string): Promise<Bun.BunFile | undefined> {
    const file = Bun.file(this.#path(id))
    return (await file.exists()) ? file : undefined
  }

  #path(id: string): string {
    return join(this.#folder, CommandId.parse(id))
  }

  /** Lets go of what is too old, and of the oldest until one more fits that is as large as one may be. */
  async #makeRoom(): Promise<void> {
    const now = this.#clock.now()
    const names = (await readdir(this.#folder)).filter((name) => CommandId.safeParse(name).success)
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name)
        const { size, mtimeMs } = await stat(path)
        return { path, size, mtimeMs }
      }),
    )
    files.sort((a, b) => a.mtimeMs - b.mtimeMs)
    let bytes = files.reduce((sum, { size }) => sum + size, 0)
    for (const { path, size, mtimeMs } of files) {
      const isOld = now - mtimeMs > DAYS_MAX * DAY_MS
      if (!isOld && bytes + UPLOAD_BYTES_MAX <= this.#bytesMax) continue
      await rm(path, { force: true })
      bytes -= size
    }
  }
}

/** Counts and hashes what goes by, and stops what is too much. */
class Measured implements AsyncIterable<Uint8Array> {
  bytes = 0
  readonly #pieces: AsyncIterable<Uint8Array>
  readonly #hash = createHash('sha256')

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces
  }

  /** Once, at the end. */
  get sha256(): string {
    return this.#hash.digest('hex')
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#pieces) {
      this.bytes += piece.byteLength
      if (this.bytes > UPLOAD_BYTES_MAX) {
        throw new EdgeError('body_too_large', `Cannot take the upload: more than ${UPLOAD_BYTES_MAX} bytes`)
      }
      this.#hash.update(piece)
      yield piece
    }
  }
}
