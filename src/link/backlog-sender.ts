import type { Clock } from '../kit/clock.ts'
import type { Line } from './line.ts'
import type { TokenBucket } from './token-bucket.ts'

/** The registry has this long to say that it has what was sent; then that is sent again. */
const PATIENCE_MS = 15_000
/** Of one message: small enough that what is urgent does not wait long behind it on a slow line. */
export const MESSAGE_BYTES_MAX = 32 * 1024

/** What waits for the registry, in order. */
export interface Backlog {
  /** With a number it names one item, for good. */
  readonly sid: string
  /** As many of the oldest as a message of so many bytes holds, one at least, and the last one's number. */
  next(bytesMax: number): { readonly payload: Uint8Array; readonly last: number } | undefined
  /** Up to that number the registry has them. */
  remove(seq: number): void
  /** Called after each new item: only to wake somebody. */
  onPut(call: () => void): void
}

/**
 * Brings a backlog to the registry over one line, and empties it as the registry says what it has. One message at a
 * time: a broker takes what nobody hears, and a registry that comes back in between must not have the second before the
 * first. So that a round trip is not paid for each item, a message holds many.
 */
export class BacklogSender {
  readonly #backlog: Backlog
  readonly #clock: Clock
  readonly #topic: string
  readonly #pace: TokenBucket
  #onPut: () => void = () => undefined
  #onNews: () => void = () => undefined

  constructor(parts: { backlog: Backlog; clock: Clock; topic: string; pace: TokenBucket }) {
    this.#backlog = parts.backlog
    this.#clock = parts.clock
    this.#topic = parts.topic
    this.#pace = parts.pace
    this.#backlog.onPut(() => this.#onPut())
  }

  /** The registry has all up to that one. */
  acknowledge(sid: string, seq: number): void {
    if (sid !== this.#backlog.sid) return
    this.#backlog.remove(seq)
    this.#onNews()
  }

  /** At once, the first of them: another run of the registry has not heard it. */
  again(): void {
    this.#onNews()
  }

  /** Runs until the line ends or the signal fires. */
  async run(line: Line, stop: AbortSignal): Promise<void> {
    while (line.isOpen && !stop.aborted) {
      await this.#pace.ready(stop)
      if (stop.aborted) return
      const news = new AbortController()
      // Set before the look: what happens meanwhile is not missed.
      this.#onNews = () => news.abort()
      const message = this.#backlog.next(MESSAGE_BYTES_MAX)
      this.#onPut = message === undefined ? this.#onNews : () => undefined
      if (message !== undefined) {
        this.#pace.spend(message.payload.byteLength)
        await line.publish({ topic: this.#topic, payload: message.payload, qos: 1, retain: false })
      }
      await this.#clock.sleep(PATIENCE_MS, AbortSignal.any([news.signal, stop]))
    }
  }
}
