/** What a session can say of its memory. */
interface Arena {
  readonly arenaBytes: number | undefined
}

/**
 * What a lane takes of the main memory: its weights, and what its arena has grown by since it was loaded. Weights count
 * as much as their files: what ONNX Runtime packs anew into the arena while it loads stands in for the original, which
 * it lets go. Not counted are a few megabytes of graph and code for each session, and memory of a GPU.
 */
export class LaneMemory {
  /** Of the version's files. */
  readonly fileBytes: number
  readonly #arena: Arena
  readonly #loadedBytes: number

  constructor(arena: Arena, fileBytes: number) {
    this.fileBytes = fileBytes
    this.#arena = arena
    this.#loadedBytes = arena.arenaBytes ?? 0
  }

  get bytes(): number {
    const weights = Math.max(this.fileBytes, this.#loadedBytes)
    return weights + this.grownBytes
  }

  /** By running, since it was loaded. */
  get grownBytes(): number {
    return Math.max(0, (this.#arena.arenaBytes ?? 0) - this.#loadedBytes)
  }
}
