import type { Clock } from '../kit/clock.ts'
import type { Line } from './line.ts'
import { encodeMessage } from './messages.ts'
import type { Outbox } from './outbox.ts'
import type { Topics } from './topics.ts'

/** On their way at once; each is small, and their order is kept by their numbers. */
const UNDER_WAY_MAX = 16
/** The registry has this long to say that it has them; then they are sent again. */
const PATIENCE_MS = 15_000

/** Brings the outbox to the registry over one line, in order, and empties it as the registry says what it has. */
export class EventSender {
  readonly #outbox: Outbox
  readonly #clock: Clock
  readonly #topic: string
  /** Sent over this line, and not yet acknowledged. */
  readonly #underWay = new Set<number>()
  #last = 0
  #wake: () => void = () => undefined

  constructor(parts: { outbox: Outbox; clock: Clock; topics: Topics; device: string }) {
    this.#outbox = parts.outbox
    this.#clock = parts.clock
    this.#topic = parts.topics.up(parts.device, 'ev')
    this.#outbox.onPut(() => this.#wake())
  }

  /** The registry has that event of that outbox. */
  acknowledge(sid: string, seq: number): void {
    if (sid !== this.#outbox.sid) return
    this.#outbox.remove(seq)
    this.#underWay.delete(seq)
    this.#wake()
  }

  /** From the first one on, so that they arrive in order: another run of the registry has heard none of them. */
  again(): void {
    this.#underWay.clear()
    this.#last = 0
    this.#wake()
  }

  /** Runs until the line ends or the signal fires. */
  async run(line: Line, stop: AbortSignal): Promise<void> {
    this.again()
    while (line.isOpen && !stop.aborted) {
      const woken = this.#nextWake()
      for (const event of this.#outbox.after(this.#last, UNDER_WAY_MAX - this.#underWay.size)) {
        this.#underWay.add(event.seq)
        this.#last = event.seq
        await line.publish({ topic: this.#topic, payload: encodeMessage(event), qos: 1, retain: false })
      }
      const isAnswered = await this.#waitFor(woken, stop)
      if (isAnswered || this.#underWay.size === 0) continue
      this.again()
    }
  }

  #nextWake(): AbortSignal {
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    return woken.signal
  }

  /** False when nothing happened for too long. */
  async #waitFor(woken: AbortSignal, stop: AbortSignal): Promise<boolean> {
    await this.#clock.sleep(PATIENCE_MS, AbortSignal.any([woken, stop]))
    return woken.aborted
  }
}
