/** Frames are lost where they come faster than something on the way takes them; then less is asked for at once. */
const LEAST_BYTES = 64 * 1024
const FIRST_BYTES = 512 * 1024
const MOST_BYTES = 4 * 1024 ** 2
const STEP_BYTES = 256 * 1024

/** How many bytes to ask for at once: a step more after each whole answer, half after one with a hole. */
export class Window {
  #bytes = FIRST_BYTES

  get bytes(): number {
    return this.#bytes
  }

  grow(): void {
    this.#bytes = Math.min(MOST_BYTES, this.#bytes + STEP_BYTES)
  }

  shrink(): void {
    this.#bytes = Math.max(LEAST_BYTES, Math.floor(this.#bytes / 2))
  }
}
