import { present } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import { policyOf, type Scheduling } from './scheduling.ts'

export interface Queued {
  readonly level: number
  /** When it has waited too long; infinite without a timeout. */
  readonly deadlineMs: number
}

/**
 * What waits for a lane: the levels in their order, first in, first out within each. What has waited too long either
 * leaves or, where the level's policy says "delay", goes behind everything that has time left.
 */
export class LaneQueue<T extends Queued> {
  readonly #scheduling: Scheduling
  readonly #levels: T[][]
  /** Those that have waited too long but may wait on; still part of their level's bound. */
  readonly #delayed: T[] = []
  readonly #id: string
  /** How many of each level are here, the delayed ones among them. */
  readonly #counts: number[]
  #size = 0
  /** Kept, because every request asks; undefined once the one that it was of has left. */
  #nextDeadlineMs: number | undefined = Number.POSITIVE_INFINITY

  constructor(id: string, scheduling: Scheduling) {
    this.#id = id
    this.#scheduling = scheduling
    this.#levels = Array.from({ length: scheduling.priorityLevels }, () => [])
    this.#counts = this.#levels.map(() => 0)
  }

  get size(): number {
    return this.#size
  }

  push(item: T): void {
    const level = present(this.#levels[item.level - 1], 'a level is one of the lane')
    if (this.#room(item.level) <= 0) throw this.refusal(item.level)
    level.push(item)
    this.#count(item, 1)
    if (this.#nextDeadlineMs !== undefined && item.deadlineMs < this.#nextDeadlineMs)
      this.#nextDeadlineMs = item.deadlineMs
  }

  /** Nothing of any level would get in. */
  get isFull(): boolean {
    // Mostly it is empty, and every request asks.
    return this.#size > 0 && this.#levels.every((_, index) => this.#room(index + 1) <= 0)
  }

  refusal(level: number): EdgeError {
    const { itemsMax } = policyOf(this.#scheduling, level)
    const waiting = itemsMax - this.#room(level)
    return new EdgeError(
      'queue_full',
      `Cannot infer with "${this.#id}": Exceeds maximum queue size: ${waiting} wait, at most ${itemsMax}`,
    )
  }

  #room(level: number): number {
    const { itemsMax } = policyOf(this.#scheduling, level)
    return itemsMax - (this.#counts[level - 1] ?? 0)
  }

  #count(item: T, by: 1 | -1): void {
    this.#counts[item.level - 1] = (this.#counts[item.level - 1] ?? 0) + by
    this.#size += by
  }

  #leave(items: readonly T[]): void {
    for (const item of items) {
      this.#count(item, -1)
      // One that never expires leaves it as it was.
      const wasNext = item.deadlineMs === this.#nextDeadlineMs && Number.isFinite(item.deadlineMs)
      if (wasNext) this.#nextDeadlineMs = undefined
    }
  }

  /** In the order in which they would be served. */
  *inOrder(): Generator<T> {
    for (const level of this.#levels) yield* level
    yield* this.#delayed
  }

  /** Takes the first so many. */
  take(count: number): T[] {
    const taken: T[] = []
    for (const list of [...this.#levels, this.#delayed]) {
      if (taken.length < count) taken.push(...list.splice(0, count - taken.length))
    }
    this.#leave(taken)
    return taken
  }

  /** False when it has left already. */
  remove(item: T): boolean {
    for (const list of [...this.#levels, this.#delayed]) {
      const index = list.indexOf(item)
      if (index < 0) continue
      list.splice(index, 1)
      this.#leave([item])
      return true
    }
    return false
  }

  /** Takes out those that have waited too long and are to be refused; puts back those that may wait on. */
  expire(nowMs: number): readonly T[] {
    if (nowMs < this.nextDeadlineMs) return NONE
    const refused: T[] = []
    for (const [index, level] of this.#levels.entries()) {
      const expired = level.filter(({ deadlineMs }) => deadlineMs <= nowMs)
      if (expired.length === 0) continue
      this.#levels[index] = level.filter(({ deadlineMs }) => deadlineMs > nowMs)
      const isDelayed = policyOf(this.#scheduling, index + 1).timeoutAction === 'delay'
      ;(isDelayed ? this.#delayed : refused).push(...expired)
    }
    this.#nextDeadlineMs = undefined
    this.#leave(refused)
    return refused
  }

  /** The next moment at which something expires; infinite when nothing does. */
  get nextDeadlineMs(): number {
    this.#nextDeadlineMs ??= this.#findNextDeadline()
    return this.#nextDeadlineMs
  }

  #findNextDeadline(): number {
    let next = Number.POSITIVE_INFINITY
    for (const level of this.#levels) for (const { deadlineMs } of level) next = Math.min(next, deadlineMs)
    return next
  }
}

const NONE: readonly never[] = []
