import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { decodeFrame, type Frame } from './frame.ts'
import type { OpenLine } from './line.ts'
import { encodeMessage, type Request } from './messages.ts'
import type { Topics } from './topics.ts'

/** Silence in the middle of an answer for so long means that the rest was lost. */
const STALL_MS = 4_000
/** After its end an answer has this long for frames that were overtaken. */
const LATE_MS = 100

type WithoutNumbers<T> = T extends unknown ? Omit<T, 'rid' | 'line'> : never
export type Question = WithoutNumbers<Request>

export interface Answer {
  /** All of its frames came. */
  readonly isWhole: boolean
  /** Of what was asked, in its order, how much the answer dealt with; undefined where its end was lost. */
  readonly covered: number | undefined
}

/** Takes a frame of the answer; true: with it everything is here that was asked for, whatever else may come. */
type TakeFrame = (frame: Frame) => boolean

/** Questions to the registry and their answers, told apart by number. */
export class Exchange {
  readonly #clock: Clock
  readonly #topic: string
  readonly #connection: () => number
  readonly #open = new Map<number, Asked>()
  #last = 0

  constructor(parts: { clock: Clock; topics: Topics; device: string; connection: () => number }) {
    this.#clock = parts.clock
    this.#connection = parts.connection
    this.#topic = parts.topics.up(parts.device, 'req')
  }

  /** What came on the topic of answers. What nobody waits for any more is let go. */
  take(message: Uint8Array): Frame | undefined {
    const frame = decodeFrame(message)
    if (frame.kind === 'ack') return frame
    this.#open.get(frame.request)?.take(frame)
    return undefined
  }

  /**
   * Asks, and hands over each frame of the answer as it comes, at most once. Resolves when the answer is whole or
   * nothing comes any more; fails when the line does.
   */
  async ask(
    question: Question,
    options: { line: OpenLine; signal: AbortSignal; take: TakeFrame },
  ): Promise<Answer> {
    const { line, signal } = options
    this.#last = (this.#last + 1) % 2 ** 32
    const rid = this.#last
    const asked = new Asked(options.take)
    this.#open.set(rid, asked)
    try {
      await line.publish({
        topic: this.#topic,
        payload: encodeMessage({ ...question, rid, line: this.#connection() }),
        qos: 1,
        retain: false,
      })
      const broken = line.ended.then(({ reason }) => {
        throw new EdgeError('peer_failed', `Cannot wait for an answer: ${reason}`)
      })
      return await Promise.race([this.#collect(asked, signal), broken])
    } finally {
      this.#open.delete(rid)
      asked.close()
    }
  }

  /** The answer as one piece, where it is a small one; undefined: none came. */
  async askOnce(
    question: Question,
    options: { line: OpenLine; signal: AbortSignal },
  ): Promise<Uint8Array | undefined> {
    let bytes: Uint8Array | undefined
    await this.ask(question, {
      ...options,
      take: (frame) => {
        if (frame.kind === 'piece' && frame.parts === 1) bytes = frame.bytes
        return bytes !== undefined
      },
    })
    return bytes
  }

  async #collect(asked: Asked, signal: AbortSignal): Promise<Answer> {
    asked.check()
    while (!asked.isWhole) {
      const { count, hasEnded } = asked
      const woken = new AbortController()
      asked.onTurn(() => woken.abort())
      await this.#clock.sleep(hasEnded ? LATE_MS : STALL_MS, AbortSignal.any([signal, woken.signal]))
      signal.throwIfAborted()
      asked.check()
      // Nothing new came while we waited; that the end came just now is something new.
      if (asked.count === count) break
    }
    return { isWhole: asked.isWhole, covered: asked.covered }
  }
}

/** One question on its way. */
class Asked {
  readonly #take: TakeFrame
  readonly #seen = new Set<string>()
  #expected: number | undefined
  #covered: number | undefined
  /** Of all frames, the end among them. */
  #count = 0
  #turn: (() => void) | undefined
  #isOpen = true
  #isSatisfied = false
  #failure: { readonly error: unknown } | undefined

  constructor(take: TakeFrame) {
    this.#take = take
  }

  take(frame: Frame): void {
    if (!this.#isOpen) return
    const key = `${frame.kind} ${frame.item} ${frame.part}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.#count += 1
    if (frame.kind === 'end') {
      this.#expected = frame.item
      this.#covered =
        frame.bytes.byteLength >= 4
          ? new DataView(frame.bytes.buffer, frame.bytes.byteOffset).getUint32(0)
          : 0
    } else this.#hand(frame)
    if (this.hasEnded) this.#turn?.()
  }

  /** What goes wrong here is the asker's, not the line's. */
  #hand(frame: Frame): void {
    try {
      if (!this.#take(frame)) return
      this.#isSatisfied = true
      this.#turn?.()
    } catch (error) {
      this.#isOpen = false
      this.#failure = { error }
      this.#turn?.()
    }
  }

  /** Throws what has gone wrong with a frame. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  get count(): number {
    return this.#count
  }

  get hasEnded(): boolean {
    return this.#expected !== undefined
  }

  get isWhole(): boolean {
    return this.#isSatisfied || (this.#expected !== undefined && this.#count - 1 >= this.#expected)
  }

  get covered(): number | undefined {
    return this.#covered
  }

  /** Called when the end comes, and for what comes after it. */
  onTurn(call: () => void): void {
    this.#turn = call
  }

  close(): void {
    this.#isOpen = false
  }
}
