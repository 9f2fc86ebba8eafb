/** One change of a thing at a time, in the order in which they were asked for. */
export class Turns {
  /** The last change asked for, by the thing's name. */
  readonly #last = new Map<string, Promise<void>>()

  has(name: string): boolean {
    return this.#last.has(name)
  }

  take<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name)
    const turn = before === undefined ? change() : before.then(change)
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(name, settled)
    void settled.then(() => {
      if (this.#last.get(name) === settled) this.#last.delete(name)
    })
    return turn
  }
}
