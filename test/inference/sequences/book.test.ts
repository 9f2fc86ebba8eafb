/** Who gets which slot, in whatever order things happen: held against a model of each claim. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Entry, type Sequence, SequenceBook } from '../../../src/inference/sequences/book.ts'
import { SEED } from '../../kit/seed.ts'

interface Request extends Entry {
  readonly number: number
}

const IDLE_MS = 100
type Book = SequenceBook<Request, string>

let made = 0
const request = (key: string, flags: Partial<Entry> = {}): Request => {
  made += 1
  return { key, isStart: false, isEnd: false, number: made, ...flags }
}
const start = (key: string) => request(key, { isStart: true })
const end = (key: string) => request(key, { isEnd: true })

function createBook(slots: number): Book {
  return new SequenceBook({ slots, idleMsMax: IDLE_MS })
}

/** Runs what is ready, once each. */
function runReady(book: Book, nowMs = 0): string[] {
  const ready = [...book.ready]
  const begun = ready.map((sequence) => book.begin(sequence))
  for (const sequence of ready) book.finish(sequence, nowMs)
  return begun.map(({ key }) => key)
}

describe('a sequence', () => {
  test('takes no request before its start, and none after its end', () => {
    const book = createBook(2)
    expect(book.admit(request('a'))).toBeUndefined()
    expect(book.admit(start('a'))).toBeDefined()
    expect(book.admit(end('a'))).toBeDefined()
    expect(book.admit(request('a'))).toBeUndefined()
    expect(book.waiting).toBe(2)
  })

  test('is over once the request that ends it has run, and its slot is free', () => {
    const book = createBook(1)
    book.admit(start('a'))
    book.admit(end('a'))
    book.admit(start('b'))
    expect([runReady(book), runReady(book), runReady(book)]).toEqual([['a'], ['a'], ['b']])
    expect(book.size).toBe(1)
  })

  test('has one request running at a time', () => {
    const book = createBook(1)
    const a = book.admit(start('a')) as Sequence<Request, string>
    book.admit(request('a'))
    book.begin(a)
    expect([...book.ready]).toEqual([])
    book.finish(a, 0)
    expect([...book.ready]).toEqual([a])
  })

  test('that starts again while it goes on keeps its slot, and is one sequence', () => {
    const book = createBook(1)
    const first = book.admit(start('a'))
    expect(book.admit(start('a'))).toBe(first)
    expect(book.size).toBe(1)
  })

  test('whose key begins anew after its end is another one, and may run before the first is over', () => {
    const book = createBook(2)
    const first = book.admit(start('a'))
    book.admit(end('a'))
    const second = book.admit(start('a'))
    expect(second).not.toBe(first)
    expect([...book.ready].length).toBe(2)
  })
})

describe('the idle timeout', () => {
  test('ends a sequence when the time is up, not a moment before', () => {
    const book = createBook(1)
    book.admit(start('a'))
    runReady(book, 50)
    expect(book.nextExpiryMs).toBe(50 + IDLE_MS)
    expect(book.expire(50 + IDLE_MS - 1)).toBe(0)
    expect(book.isOpen('a')).toBe(true)
    expect(book.expire(50 + IDLE_MS)).toBe(1)
    expect(book.isOpen('a')).toBe(false)
    expect([book.size, book.nextExpiryMs]).toEqual([0, Number.POSITIVE_INFINITY])
  })

  test('gives the slot to the one that has waited longest', () => {
    const book = createBook(1)
    book.admit(start('a'))
    runReady(book)
    book.admit(start('b'))
    book.admit(start('c'))
    expect(runReady(book)).toEqual([])
    book.expire(IDLE_MS)
    expect(runReady(book)).toEqual(['b'])
  })

  test('does not count while a request runs or waits', () => {
    const book = createBook(1)
    const a = book.admit(start('a')) as Sequence<Request, string>
    expect(book.nextExpiryMs).toBe(Number.POSITIVE_INFINITY)
    book.begin(a)
    expect(book.expire(10 * IDLE_MS)).toBe(0)
    book.finish(a, 10 * IDLE_MS)
    expect(book.nextExpiryMs).toBe(11 * IDLE_MS)
  })
})

describe('giving up', () => {
  test('takes all that waits of the sequence, and ends it', () => {
    const book = createBook(1)
    const a = book.admit(start('a')) as Sequence<Request, string>
    book.admit(request('a'))
    expect(book.cancel(a).length).toBe(2)
    expect([book.isOpen('a'), book.size, book.waiting]).toEqual([false, 0, 0])
  })

  test('while one runs: the slot is free when that has ended', () => {
    const book = createBook(1)
    const a = book.admit(start('a')) as Sequence<Request, string>
    book.begin(a)
    book.admit(request('a'))
    book.cancel(a)
    expect(book.size).toBe(1)
    book.finish(a, 0)
    expect(book.size).toBe(0)
  })

  test('one that has been ended leaves alone the one that has begun under its key since', () => {
    const book = createBook(2)
    const first = book.admit(start('a')) as Sequence<Request, string>
    book.admit(end('a'))
    book.admit(start('a'))
    book.cancel(first)
    expect(book.isOpen('a')).toBe(true)
    expect(book.admit(request('a'))).toBeDefined()
  })

  test('one that waits for a slot leaves no trace', () => {
    const book = createBook(1)
    book.admit(start('a'))
    book.cancel(book.admit(start('b')) as Sequence<Request, string>)
    expect([book.size, book.waiting, book.isOpen('b')]).toEqual([1, 1, false])
  })
})

/** A step that may happen at any time. */
type Step =
  | { readonly do: 'send'; readonly key: string; readonly isStart: boolean; readonly isEnd: boolean }
  | { readonly do: 'begin'; readonly pick: number }
  | { readonly do: 'finish'; readonly pick: number }
  | { readonly do: 'cancel'; readonly pick: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'shut' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      isStart: fc.boolean(),
      isEnd: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('begin' as const), pick: fc.nat(20) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('finish' as const), pick: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(IDLE_MS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('shut' as const) }) },
)

/** Drives a book and remembers by itself what must be true of it. */
class Check {
  readonly #book: Book
  readonly #slots: number
  readonly #all = new Set<Sequence<Request, string>>()
  readonly #running = new Map<Sequence<Request, string>, number>()
  /** The number of the last request that ran, by sequence. */
  readonly #last = new Map<Sequence<Request, string>, number>()
  readonly #begun = new Set<number>()
  #sent = 0
  #cancelled = 0
  #nowMs = 0

  constructor(slots: number) {
    this.#slots = slots
    this.#book = createBook(slots)
  }

  take(one: Step): void {
    if (one.do === 'send') this.#send(one)
    else if (one.do === 'begin') this.#begin(one.pick)
    else if (one.do === 'finish') this.#finish(one.pick)
    else if (one.do === 'cancel') this.#cancel(one.pick)
    else if (one.do === 'shut') this.#book.shutAll()
    else this.#wait(one.ms)
    this.#hold()
  }

  /** Whatever has happened: what waits is served, and then nothing is left. */
  settle(): void {
    this.#book.shutAll()
    for (let turn = 0; turn < 1000 && this.#book.size > 0; turn += 1) {
      this.#begin(0)
      this.#finish(0)
      this.#hold()
    }
    expect([this.#book.size, this.#book.waiting]).toEqual([0, 0])
    expect(this.#begun.size + this.#cancelled).toBe(this.#sent)
  }

  #send(flags: { key: string; isStart: boolean; isEnd: boolean }): void {
    const wasOpen = this.#book.isOpen(flags.key)
    const sequence = this.#book.admit(request(flags.key, flags))
    expect(sequence !== undefined).toBe(wasOpen || flags.isStart)
    expect(this.#book.isOpen(flags.key)).toBe(sequence !== undefined && !flags.isEnd)
    if (sequence === undefined) return
    this.#all.add(sequence)
    this.#sent += 1
  }

  #begin(pick: number): void {
    const ready = [...this.#book.ready]
    const sequence = ready[pick % Math.max(1, ready.length)]
    if (sequence === undefined) return
    expect(this.#running.has(sequence)).toBe(false)
    const { number, key } = this.#book.begin(sequence)
    expect(key).toBe(sequence.key)
    expect(number).toBeGreaterThan(this.#last.get(sequence) ?? 0)
    expect(this.#begun.has(number)).toBe(false)
    this.#begun.add(number)
    this.#last.set(sequence, number)
    this.#running.set(sequence, number)
  }

  #finish(pick: number): void {
    const running = [...this.#running.keys()]
    const sequence = running[pick % Math.max(1, running.length)]
    if (sequence === undefined) return
    this.#running.delete(sequence)
    this.#book.finish(sequence, this.#nowMs)
  }

  #cancel(pick: number): void {
    const waiting = [...this.#all].filter((one) => one.waiting.length > 0)
    const sequence = waiting[pick % Math.max(1, waiting.length)]
    if (sequence === undefined) return
    this.#cancelled += this.#book.cancel(sequence).length
    expect(sequence.waiting).toEqual([])
  }

  #wait(ms: number): void {
    this.#nowMs += ms
    this.#book.expire(this.#nowMs)
    expect(this.#book.nextExpiryMs).toBeGreaterThan(this.#nowMs)
  }

  #hold(): void {
    const held = [...this.#all].filter(({ slot }) => slot >= 0)
    expect(new Set(held.map(({ slot }) => slot)).size).toBe(held.length)
    expect(held.every(({ slot }) => slot < this.#slots)).toBe(true)
    // Nobody waits for a slot while one is free.
    const wait = [...this.#all].filter((one) => one.slot < 0 && one.waiting.length > 0)
    if (wait.length > 0) expect(held.length).toBe(this.#slots)
    const isReady = (sequence: Sequence<Request, string>) =>
      sequence.slot >= 0 && !sequence.isBusy && sequence.waiting.length > 0
    expect(new Set(this.#book.ready)).toEqual(new Set([...this.#all].filter(isReady)))
    const waiting = [...this.#all].reduce((sum, sequence) => sum + sequence.waiting.length, 0)
    expect(this.#book.waiting).toBe(waiting)
    const backlogged = wait.reduce((sum, one) => sum + one.waiting.length, 0)
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const open = [...this.#all].findLast((one) => one.key === key && one.isOpen)
      const waits = this.#book.isOpen(key) ? (open?.slot ?? 0) < 0 : held.length === this.#slots
      expect(this.#book.waitingBeside(request(key))).toBe(waits ? backlogged : waiting - backlogged)
    }
    expect(this.#book.size).toBe(held.length + wait.length)
  }
}

test('in whatever order: slots are held once, requests run once and in order, and nothing is left behind', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 120 }), (slots, steps) => {
      const check = new Check(slots)
      for (const one of steps) check.take(one)
      check.settle()
    }),
    { seed: SEED, numRuns: 500 },
  )
})
