import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { LaneQueue, type Queued } from '../../src/inference/queue.ts'
import type { QueuePolicy, Scheduling } from '../../src/inference/scheduling.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { scheduling } from '../kit/fake-session.ts'
import { SEED } from '../kit/seed.ts'

interface Item extends Queued {
  readonly name: number
}

/** What waits, in the order in which it came; those of level 2 wait on when their time is over. */
interface Model {
  readonly itemsMax: number
  waiting: Item[]
  delayed: Item[]
}

const LEVELS = [1, 2, 3]
const DELAYING = 2

function inOrder({ waiting, delayed }: Model): Item[] {
  return [...LEVELS.flatMap((level) => waiting.filter((item) => item.level === level)), ...delayed]
}

function leave(model: Model, gone: readonly Item[]): void {
  model.waiting = model.waiting.filter((item) => !gone.includes(item))
  model.delayed = model.delayed.filter((item) => !gone.includes(item))
}

function bounded(itemsMax: number): Scheduling {
  return scheduling({ defaultPolicy: { ...scheduling().defaultPolicy, itemsMax } })
}

function levels(itemsMax: number): Scheduling {
  const plain = bounded(itemsMax)
  const delaying: QueuePolicy = { ...plain.defaultPolicy, timeoutAction: 'delay' }
  return { ...plain, priorityLevels: LEVELS.length, policies: new Map([[DELAYING, delaying]]) }
}

function fits(queue: LaneQueue<Item>, item: Item): boolean {
  try {
    queue.push(item)
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'queue_full' })
    return false
  }
}

/** One thing that is done to both, and has to give the same. */
class Step implements fc.Command<Model, LaneQueue<Item>> {
  readonly #name: string
  readonly #onModel: (model: Model) => unknown
  readonly #onQueue: (queue: LaneQueue<Item>) => unknown

  constructor(
    name: string,
    onModel: (model: Model) => unknown,
    onQueue: (queue: LaneQueue<Item>) => unknown,
  ) {
    this.#name = name
    this.#onModel = onModel
    this.#onQueue = onQueue
  }

  check(): boolean {
    return true
  }

  run(model: Model, queue: LaneQueue<Item>): void {
    expect(this.#onQueue(queue)).toEqual(this.#onModel(model))
    expect([...queue.inOrder()]).toEqual(inOrder(model))
    expect(queue.size).toBe(inOrder(model).length)
    expect(queue.nextDeadlineMs).toBe(Math.min(...model.waiting.map(({ deadlineMs }) => deadlineMs)))
  }

  toString(): string {
    return this.#name
  }
}

const anyItem = fc.record({
  name: fc.nat(1_000_000),
  level: fc.constantFrom(...LEVELS),
  deadlineMs: fc.oneof(fc.nat(100), fc.constant(Number.POSITIVE_INFINITY)),
})

const push = anyItem.map(
  (pushed) =>
    new Step(
      `push ${JSON.stringify(pushed)}`,
      (model) => {
        // Those that were put behind still count: they are there.
        const before = inOrder(model).filter(({ level }) => level === pushed.level)
        if (before.length >= model.itemsMax) return false
        model.waiting.push(pushed)
        return true
      },
      (queue) => fits(queue, pushed),
    ),
)

const take = fc.nat(5).map(
  (count) =>
    new Step(
      `take ${count}`,
      (model) => {
        const taken = inOrder(model).slice(0, count)
        leave(model, taken)
        return taken
      },
      (queue) => queue.take(count),
    ),
)

const remove = fc.nat(10).map((place) => {
  let chosen: Item | undefined
  return new Step(
    `remove the one at ${place}`,
    (model) => {
      leave(model, chosen === undefined ? [] : [chosen])
      return chosen !== undefined
    },
    (queue) => {
      chosen = [...queue.inOrder()][place]
      return queue.remove(chosen ?? { name: -1, level: 1, deadlineMs: 0 })
    },
  )
})

const expire = fc.nat(100).map(
  (nowMs) =>
    new Step(
      `expire at ${nowMs}`,
      (model) => {
        const expired = LEVELS.flatMap((level) =>
          model.waiting.filter((waiting) => waiting.level === level && waiting.deadlineMs <= nowMs),
        )
        leave(model, expired)
        model.delayed.push(...expired.filter(({ level }) => level === DELAYING))
        return expired.filter(({ level }) => level !== DELAYING)
      },
      (queue) => queue.expire(nowMs),
    ),
)

test('whatever is done to it, it does as plain arrays do', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.commands([push, push, take, remove, expire], { maxCommands: 100 }),
      (itemsMax, commands) => {
        const begin = () => ({
          model: { itemsMax, waiting: [], delayed: [] },
          real: new LaneQueue<Item>('m/1', levels(itemsMax)),
        })
        fc.modelRun(begin, commands)
      },
    ),
    { seed: SEED, numRuns: 200 },
  )
})

describe('the bound', () => {
  const waiting = (name: number, level = 1): Item => ({ name, level, deadlineMs: Number.POSITIVE_INFINITY })

  test('takes one at it, refuses one past it, and takes one again after the next has left', () => {
    const queue = new LaneQueue<Item>('m/1', bounded(2))
    queue.push(waiting(1))
    queue.push(waiting(2))
    expect(() => queue.push(waiting(3))).toThrow(
      new EdgeError('queue_full', 'Cannot infer with "m/1": Exceeds maximum queue size: 2 wait, at most 2'),
    )
    expect(queue.take(1)).toEqual([waiting(1)])
    queue.push(waiting(4))
    expect(queue.take(9)).toEqual([waiting(2), waiting(4)])
  })

  test('holds for each level by itself', () => {
    const queue = new LaneQueue<Item>('m/1', levels(1))
    for (const level of LEVELS) queue.push(waiting(level, level))
    for (const level of LEVELS) expect(fits(queue, waiting(0, level))).toBe(false)
    expect(queue.take(3).map(({ name }) => name)).toEqual(LEVELS)
  })
})
