/** Says how far it is, to whoever waits for one of the engines. */
export type OnStep = (what: string) => void

interface Build {
  readonly number: number
  readonly onStep: OnStep
}

/**
 * One engine is built at a time: each takes the whole device, and half of its memory. Those that wait are counted, so that
 * everybody hears which of how many it is; when all are done the count begins anew.
 */
export class BuildTurns {
  #tail: Promise<void> = Promise.resolve()
  #total = 0
  readonly #waiting = new Set<Build>()
  #current: Build | undefined

  take<T>(onStep: OnStep, build: () => Promise<T>): Promise<T> {
    this.#total += 1
    const mine: Build = { number: this.#total, onStep }
    this.#waiting.add(mine)
    this.#tell()
    const built = this.#tail.then(async () => {
      this.#waiting.delete(mine)
      this.#current = mine
      this.#tell()
      return await build()
    })
    this.#tail = built.then(
      () => this.#end(),
      () => this.#end(),
    )
    return built
  }

  #end(): void {
    this.#current = undefined
    if (this.#waiting.size === 0) this.#total = 0
  }

  #tell(): void {
    const { number } = this.#current ?? { number: 0 }
    this.#current?.onStep(`building engine ${number}/${this.#total}`)
    for (const build of this.#waiting) build.onStep(`waiting to build engine ${build.number}/${this.#total}`)
  }
}
