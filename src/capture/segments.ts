import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'

interface Segment {
  readonly model: string
  readonly path: string
  /** By its name: when it was begun. */
  readonly order: string
  bytes: number
}

const SEGMENT_BYTES_MAX = 4 * 1024 ** 2
const SEGMENT_BYTES_MIN = 16 * 1024
/** A model's share is at least so many segments: when the oldest goes, the others stay. */
const SEGMENTS_OF_SHARE = 4
const NAME = /^(\d{15}-\d{4})\.capture$/

/** Records on disk: for each model a folder of files that are filled one after the other, of which the oldest go. */
export class Segments {
  readonly #root: string
  readonly #clock: Clock
  readonly #bytesMax: number
  readonly #segments: Segment[]
  readonly #open = new Map<string, { segment: Segment; file: FileHandle }>()
  #count = 0

  private constructor(parts: { root: string; clock: Clock; bytesMax: number; segments: Segment[] }) {
    this.#root = parts.root
    this.#clock = parts.clock
    this.#bytesMax = parts.bytesMax
    this.#segments = parts.segments
  }

  static async open(root: string, parts: { clock: Clock; bytesMax: number }): Promise<Segments> {
    return new Segments({ ...parts, root, segments: await listSegments(root) })
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  bytesOf(model: string): number {
    return this.#segments.reduce((sum, segment) => (segment.model === model ? sum + segment.bytes : sum), 0)
  }

  get models(): string[] {
    return [...new Set(this.#segments.map(({ model }) => model))]
  }

  /** One at a time. False: not even an empty share has room for it. */
  async append(model: string, record: Uint8Array, bytesMax: number): Promise<boolean> {
    const share = Math.min(bytesMax, this.#bytesMax)
    if (record.byteLength > share) return false
    const room = Math.max(SEGMENT_BYTES_MIN, Math.min(SEGMENT_BYTES_MAX, share / SEGMENTS_OF_SHARE))
    let current = this.#open.get(model)
    if (current !== undefined && current.segment.bytes + record.byteLength > room) {
      await this.#finish(model)
      current = undefined
    }
    await this.#makeRoom(model, { bytes: record.byteLength, share })
    current ??= await this.#begin(model)
    try {
      await current.file.appendFile(record)
    } catch (error) {
      // What has been written of it would hide what comes after it.
      await this.#finish(model)
      throw error
    } finally {
      current.segment.bytes = (await stat(current.segment.path).catch(() => undefined))?.size ?? 0
    }
    return true
  }

  async close(): Promise<void> {
    for (const model of [...this.#open.keys()]) await this.#finish(model)
  }

  async #begin(model: string): Promise<{ segment: Segment; file: FileHandle }> {
    const folder = join(this.#root, encodeURIComponent(model))
    await mkdir(folder, { recursive: true, mode: 0o700 })
    this.#count = (this.#count + 1) % 10_000
    const order = `${String(this.#clock.now()).padStart(15, '0')}-${String(this.#count).padStart(4, '0')}`
    const segment = { model, path: join(folder, `${order}.capture`), order, bytes: 0 }
    const file = await open(segment.path, 'w', 0o600)
    this.#segments.push(segment)
    const begun = { segment, file }
    this.#open.set(model, begun)
    return begun
  }

  async #finish(model: string): Promise<void> {
    const current = this.#open.get(model)
    this.#open.delete(model)
    await current?.file.close()
  }

  /** Of the model's own first, then of all of them: the oldest go. */
  async #makeRoom(model: string, { bytes, share }: { bytes: number; share: number }): Promise<void> {
    while (this.bytesOf(model) + bytes > share) await this.#drop(({ model: of }) => of === model)
    while (this.bytes + bytes > this.#bytesMax) await this.#drop(() => true)
  }

  async #drop(isMeant: (segment: Segment) => boolean): Promise<void> {
    const [oldest] = this.#segments.filter(isMeant).sort((a, b) => (a.order < b.order ? -1 : 1))
    if (oldest === undefined) return
    if (this.#open.get(oldest.model)?.segment === oldest) await this.#finish(oldest.model)
    await rm(oldest.path, { force: true })
    this.#segments.splice(this.#segments.indexOf(oldest), 1)
  }
}

/** What lies there, oldest first. */
export async function listSegments(root: string): Promise<Segment[]> {
  const segments: Segment[] = []
  for (const folder of await readdir(root).catch(() => [])) {
    for (const name of await readdir(join(root, folder)).catch(() => [])) {
      const order = NAME.exec(name)?.[1]
      const path = join(root, folder, name)
      const size = (await stat(path).catch(() => undefined))?.size
      if (order !== undefined && size !== undefined) {
        segments.push({ model: decodeURIComponent(folder), path, order, bytes: size })
      }
    }
  }
  return segments.sort((a, b) => (a.order < b.order ? -1 : 1))
}
