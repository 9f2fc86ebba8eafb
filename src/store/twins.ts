import type { ChunkIndex } from './chunks/chunk-index.ts'

/** The chunks of a file that have the same content as another one of it: what comes once is written everywhere. */
export class Twins {
  readonly #first = new Map<number, number>()
  readonly #all = new Map<number, number[]>()

  constructor(index: ChunkIndex) {
    const seen = new Map<string, number>()
    for (let chunk = 0; chunk < index.count; chunk++) {
      const sha256 = index.sha256(chunk)
      const first = seen.get(sha256)
      if (first === undefined) seen.set(sha256, chunk)
      else this.#pair(first, chunk)
    }
  }

  /** The first chunk of the same content: itself, for most. */
  firstOf(chunk: number): number {
    return this.#first.get(chunk) ?? chunk
  }

  /** All chunks of the same content. */
  allOf(chunk: number): readonly number[] {
    return this.#all.get(this.firstOf(chunk)) ?? [chunk]
  }

  #pair(first: number, chunk: number): void {
    this.#first.set(chunk, first)
    const all = this.#all.get(first) ?? [first]
    all.push(chunk)
    this.#all.set(first, all)
  }
}
