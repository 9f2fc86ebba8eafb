import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolderDurably, writeDurably } from '../kit/durable-file.ts'
import { parseManifest } from '../trust/manifest.ts'

const KEPT_MAX = 1_000

/**
 * The manifests of what was published from this machine. A registry may lose one, and none that is made again would have
 * the same bytes: devices that run the version know it by the hash of the first.
 */
export class KeptManifests {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async read(model: string, version: string): Promise<Uint8Array | undefined> {
    const bytes = await readFile(this.#path(model, version)).catch(() => undefined)
    return bytes === undefined ? undefined : new Uint8Array(bytes)
  }

  /** Of all that was published of the model from here; 0 where nothing was. */
  async highestRelease(model: string): Promise<number> {
    const names = (await readdir(this.#folder).catch(() => [])).filter((name) =>
      name.startsWith(`${encodeURIComponent(model)}@`),
    )
    const bytes = await Promise.all(names.map((name) => readFile(join(this.#folder, name))))
    return Math.max(0, ...bytes.map((each) => parseManifest(each).release))
  }

  async keep({ model, version }: { model: string; version: string }, bytes: Uint8Array): Promise<void> {
    await makeFolderDurably(this.#folder)
    await writeDurably(this.#path(model, version), bytes)
    await this.#dropOldest()
  }

  /** What was removed on purpose, and is published again, is another publication. */
  async forget(model: string, version: string): Promise<void> {
    await rm(this.#path(model, version), { force: true })
  }

  async #dropOldest(): Promise<void> {
    const names = await readdir(this.#folder)
    if (names.length <= KEPT_MAX) return
    const aged = await Promise.all(
      names.map(async (name) => ({ name, ms: (await stat(join(this.#folder, name))).mtimeMs })),
    )
    aged.sort((one, other) => one.ms - other.ms)
    for (const { name } of aged.slice(0, names.length - KEPT_MAX)) await rm(join(this.#folder, name))
  }

  #path(model: string, version: string): string {
    return join(this.#folder, `${encodeURIComponent(model)}@${version}.json`)
  }
}
