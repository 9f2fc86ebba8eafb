import type { Clock } from '../kit/clock.ts'
import type { Line } from './line.ts'
import { encodeMessage } from './messages.ts'
import type { Outbox } from './outbox.ts'
import type { Topics } from './topics.ts'

/** The registry has this long to say that it has an event; then that is sent again. */
const PATIENCE_MS = 15_000

/**
 * Brings the outbox to the registry over one line, and empties it as the registry says what it has. One event at a time:
 * a broker takes what nobody hears, and a registry that comes back in between must not have the second before the first.
 */
export class EventSender {
  readonly #outbox: Outbox
  readonly #clock: Clock
  readonly #topic: string
  #onPut: () => void = () => undefined
  #onNews: () => void = () => undefined

  constructor(parts: { outbox: Outbox; clock: Clock; topics: Topics; device: string }) {
    this.#outbox = parts.outbox
    this.#clock = parts.clock
    this.#topic = parts.topics.up(parts.device, 'ev')
    this.#outbox.onPut(() => this.#onPut())
  }

  /** The registry has that event of that outbox. */
  acknowledge(sid: string, seq: number): void {
    if (sid !== this.#outbox.sid) return
    this.#outbox.remove(seq)
    this.#onNews()
  }

  /** At once, the first of them: another run of the registry has not heard it. */
  again(): void {
    this.#onNews()
  }

  /** Runs until the line ends or the signal fires. */
  async run(line: Line, stop: AbortSignal): Promise<void> {
    while (line.isOpen && !stop.aborted) {
      const news = new AbortController()
      // Set before the look: what happens meanwhile is not missed.
      this.#onNews = () => news.abort()
      const [event] = this.#outbox.after(0, 1)
      this.#onPut = event === undefined ? this.#onNews : () => undefined
      if (event !== undefined) {
        await line.publish({ topic: this.#topic, payload: encodeMessage(event), qos: 1, retain: false })
      }
      await this.#clock.sleep(PATIENCE_MS, AbortSignal.any([news.signal, stop]))
    }
  }
}
