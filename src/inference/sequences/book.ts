import { assert, present } from '../../kit/assert.ts'

/** What a waiting request says of its place in a sequence. */
export interface Entry {
  readonly key: string
  readonly isStart: boolean
  readonly isEnd: boolean
}

/** Holds no slot yet. */
const NO_SLOT = -1

/**
 * One sequence, from its first request until it has ended and has answered its last. `T` waits in it; `K` is what it
 * keeps between requests, which goes when it goes.
 */
export class Sequence<T, K> {
  readonly key: string
  readonly waiting: T[] = []
  kept: K | undefined
  /** Lower ones are given first. */
  slot = NO_SLOT
  isBusy = false
  /** Takes requests: its end has not come yet. */
  isOpen = true
  idleSinceMs = 0

  constructor(key: string) {
    this.key = key
  }
}

/**
 * Who holds which slot, and whose turn it is. Decides, and does nothing:
 *
 *   start ─► backlog ─► slot: ready ⇄ busy ─► idle ─► ready … ─► over: the slot goes to the first of the backlog
 *
 * Requests of one sequence run one after the other, in the order in which they came.
 */
export class SequenceBook<T extends Entry, K> {
  /** Those that take requests, by key. */
  readonly #open = new Map<string, Sequence<T, K>>()
  /** In the order in which they started. */
  readonly #backlog = new Set<Sequence<T, K>>()
  /** With a slot, a request, and none running; in the order in which they became so. */
  readonly #ready = new Set<Sequence<T, K>>()
  /** With a slot and nothing to do; the one that has been so longest is first. */
  readonly #idle = new Set<Sequence<T, K>>()
  /** Highest first, so that the lowest is taken from the end. */
  readonly #freeSlots: number[]
  readonly #idleMsMax: number
  readonly #slots: number
  #waiting = 0
  /** Of those that wait, the ones whose sequence has no slot. */
  #backlogged = 0

  constructor(options: { slots: number; idleMsMax: number }) {
    this.#slots = options.slots
    this.#idleMsMax = options.idleMsMax
    this.#freeSlots = Array.from({ length: options.slots }, (_, index) => options.slots - 1 - index)
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Sequences that are not over. */
  get size(): number {
    return this.#slots - this.#freeSlots.length + this.#backlog.size
  }

  get ready(): Iterable<Sequence<T, K>> {
    return this.#ready
  }

  /** When the next sequence will have been idle too long; infinite when none is idle. */
  get nextExpiryMs(): number {
    const [first] = this.#idle
    return first === undefined ? Number.POSITIVE_INFINITY : first.idleSinceMs + this.#idleMsMax
  }

  isOpen(key: string): boolean {
    return this.#open.has(key)
  }

  /**
   * Requests that wait where this one would: for a slot, or in one. They are counted apart, so that sequences that
   * cannot begin yet never keep those from ending that they wait for.
   */
  waitingBeside({ key }: Entry): number {
    const known = this.#open.get(key)
    const hasSlot = known === undefined ? this.#freeSlots.length > 0 : known.slot !== NO_SLOT
    return hasSlot ? this.#waiting - this.#backlogged : this.#backlogged
  }

  /**
   * The sequence that now has the request; undefined when there is none of that key and the request starts none. As
   * Triton: a start in a sequence that goes on is a new one in the place of the old, after what waits of that.
   */
  admit(entry: T): Sequence<T, K> | undefined {
    const known = this.#open.get(entry.key)
    if (known === undefined && !entry.isStart) return undefined
    const sequence = known ?? this.#start(entry.key)
    sequence.waiting.push(entry)
    this.#waiting += 1
    if (sequence.slot === NO_SLOT) this.#backlogged += 1
    if (entry.isEnd) this.#shut(sequence)
    this.#settle(sequence, 0)
    return sequence
  }

  /** Takes the next request of a sequence that is ready. */
  begin(sequence: Sequence<T, K>): T {
    assert(this.#ready.delete(sequence), 'only a sequence that is ready begins a run')
    sequence.isBusy = true
    this.#waiting -= 1
    return present(sequence.waiting.shift(), 'a sequence that is ready has a request')
  }

  /** Its run has ended, well or not. */
  finish(sequence: Sequence<T, K>, nowMs: number): void {
    assert(sequence.isBusy, 'only a run that was begun ends')
    sequence.isBusy = false
    this.#settle(sequence, nowMs)
  }

  /** Takes everything that waits of a sequence, and takes no more: without one of its requests the rest is worth nothing. */
  cancel(sequence: Sequence<T, K>): T[] {
    const cancelled = sequence.waiting.splice(0)
    this.#waiting -= cancelled.length
    if (sequence.slot === NO_SLOT) this.#backlogged -= cancelled.length
    this.#shut(sequence)
    this.#settle(sequence, 0)
    return cancelled
  }

  /** Ends those that have been idle too long, and says how many they were. */
  expire(nowMs: number): number {
    let expired = 0
    for (const sequence of this.#idle) {
      if (sequence.idleSinceMs + this.#idleMsMax > nowMs) break
      this.#shut(sequence)
      this.#settle(sequence, nowMs)
      expired += 1
    }
    return expired
  }

  /** No sequence takes another request; what waits is still served. */
  shutAll(): void {
    for (const sequence of [...this.#open.values()]) {
      this.#shut(sequence)
      this.#settle(sequence, 0)
    }
  }

  #start(key: string): Sequence<T, K> {
    const sequence = new Sequence<T, K>(key)
    this.#open.set(key, sequence)
    this.#backlog.add(sequence)
    this.#fillSlots()
    return sequence
  }

  #shut(sequence: Sequence<T, K>): void {
    sequence.isOpen = false
    // A new sequence may have the key by now.
    if (this.#open.get(sequence.key) === sequence) this.#open.delete(sequence.key)
  }

  /** Puts a sequence where it belongs after something has changed. */
  #settle(sequence: Sequence<T, K>, nowMs: number): void {
    const hasSlot = sequence.slot !== NO_SLOT
    const isWanted = sequence.waiting.length > 0
    if (isWanted || sequence.isBusy || !sequence.isOpen) this.#idle.delete(sequence)
    if (!isWanted) this.#ready.delete(sequence)
    if (sequence.isBusy) return
    if (isWanted) {
      if (hasSlot) this.#ready.add(sequence)
    } else if (!sequence.isOpen) this.#leave(sequence)
    else if (hasSlot && !this.#idle.has(sequence)) {
      sequence.idleSinceMs = nowMs
      this.#idle.add(sequence)
    }
  }

  #leave(sequence: Sequence<T, K>): void {
    sequence.kept = undefined
    this.#backlog.delete(sequence)
    if (sequence.slot === NO_SLOT) return
    const at = this.#freeSlots.findLastIndex((slot) => slot > sequence.slot)
    this.#freeSlots.splice(at + 1, 0, sequence.slot)
    sequence.slot = NO_SLOT
    this.#fillSlots()
  }

  #fillSlots(): void {
    for (const sequence of this.#backlog) {
      const slot = this.#freeSlots.pop()
      if (slot === undefined) return
      this.#backlog.delete(sequence)
      sequence.slot = slot
      this.#backlogged -= sequence.waiting.length
      if (sequence.waiting.length > 0) this.#ready.add(sequence)
    }
  }
}
