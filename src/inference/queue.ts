/** First in, first out, and never more than so many. */
export class BoundedQueue<T> {
  readonly itemsMax: number
  #items: T[] = []
  #head = 0

  constructor(itemsMax: number) {
    this.itemsMax = itemsMax
  }

  get size(): number {
    return this.#items.length - this.#head
  }

  /** False when the queue is full. */
  push(item: T): boolean {
    if (this.size >= this.itemsMax) return false
    this.#items.push(item)
    return true
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined
    const item = this.#items[this.#head]
    this.#head += 1
    // Taken places are cleared now and then rather than at every call, which would move all that is behind.
    if (this.#head > 1_024 || this.#head === this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Takes out one that is no longer wanted; false when it has left already. */
  remove(item: T): boolean {
    const index = this.#items.indexOf(item, this.#head)
    if (index < 0) return false
    this.#items.splice(index, 1)
    return true
  }
}
