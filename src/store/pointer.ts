import { readlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { crashPoint } from '../kit/crash-point.ts'
import { type Database, transact } from '../kit/database.ts'
import { makeFolderDurably, pointDurably, sweepDrafts, syncFolder } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { isModelName } from './model-folder.ts'
import { storageError } from './storage-error.ts'

/** From the models folder to the versions. */
const TO_VERSIONS = '../store/versions/'
const HISTORY_MAX = 16

/**
 * Which version of a model serves: a link in the models folder, and nothing else. What it led to before is kept beside,
 * for the way back.
 */
export class Pointer {
  readonly #models: string
  readonly #database: Database

  /** `models` is the folder that is served, next to `store`. */
  constructor(options: { models: string; database: Database }) {
    this.#models = options.models
    this.#database = options.database
    options.database.exec(`CREATE TABLE IF NOT EXISTS store_pointer (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL,
      place TEXT NOT NULL
    )`)
  }

  /** The place below the versions, like "vision/yolo/3.2.0-0123456789abcdef"; undefined where no link of ours is. */
  async read(name: string): Promise<string | undefined> {
    const target = await readlink(this.#path(name)).catch((error) => {
      // Nothing there, or a folder that somebody has put there: neither is a pointer.
      if (error.code === 'ENOENT' || error.code === 'EINVAL') return undefined
      throw storageError(`read the pointer of "${name}"`, error)
    })
    return target?.startsWith(TO_VERSIONS) ? target.slice(TO_VERSIONS.length) : undefined
  }

  /** One durable flip: who looks finds the old version or the new one. */
  async flip(name: string, place: string): Promise<void> {
    const before = await this.read(name)
    if (before !== undefined) this.#remember(name, before)
    try {
      await makeFolderDurably(this.#models)
      if (before !== place) await pointDurably(this.#path(name), TO_VERSIONS + place)
    } catch (cause) {
      if ((cause as { code?: unknown }).code !== 'EISDIR')
        throw storageError(`point "${name}" to ${place}`, cause)
      throw new EdgeError(
        'storage_failed',
        `Cannot point "${name}" to ${place}: "${this.#path(name)}" is a folder, expected nothing or a link; move it away`,
        { cause },
      )
    }
    // After the flip: what never served is not what served before.
    this.#remember(name, place)
  }

  /** The model has no version any more. */
  async remove(name: string): Promise<void> {
    const before = await this.read(name)
    if (before === undefined) return
    this.#remember(name, before)
    try {
      await unlink(this.#path(name))
      await syncFolder(this.#models)
    } catch (cause) {
      throw storageError(`remove the pointer of "${name}"`, cause)
    }
    crashPoint('pointer.removed')
  }

  /** What it led to before, the latest first, without what it leads to now. */
  async previous(name: string): Promise<string[]> {
    const current = await this.read(name)
    return this.#history(name).filter((place) => place !== current)
  }

  /** For the start: lets go of a flip that was cut off. */
  async sweep(): Promise<void> {
    await sweepDrafts(this.#models)
  }

  #path(name: string): string {
    if (!isModelName(name))
      throw new EdgeError('input_invalid', `Cannot point to "${name}": not a model's name`)
    return join(this.#models, name)
  }

  /** Each place once, the latest first. */
  #history(name: string): string[] {
    return this.#database
      .prepare<[string], { place: string }>(
        'SELECT place FROM store_pointer WHERE name = ? GROUP BY place ORDER BY max(id) DESC',
      )
      .all(name)
      .map(({ place }) => place)
  }

  #remember(name: string, place: string): void {
    if (this.#history(name)[0] === place) return
    transact(this.#database, () => {
      this.#database.prepare('INSERT INTO store_pointer (name, place) VALUES (?, ?)').run(name, place)
      this.#database
        .prepare(
          `DELETE FROM store_pointer WHERE name = @name AND id NOT IN
            (SELECT id FROM store_pointer WHERE name = @name ORDER BY id DESC LIMIT @most)`,
        )
        .run({ name, most: HISTORY_MAX })
    })
  }
}
