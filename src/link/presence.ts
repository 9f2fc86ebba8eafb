import type { Clock } from '../kit/clock.ts'
import type { Line, Message } from './line.ts'
import { encodeMessage } from './messages.ts'
import type { Outbox } from './outbox.ts'
import type { Topics } from './topics.ts'

/** States of one connection; the broker's word on its end is the last of them. */
const STATES_OF_A_CONNECTION = 2 ** 20

/**
 * What a device says of itself. Every report has a higher number than all before it, over connections and restarts: an
 * old death that comes after a new birth is known as old.
 */
export class Presence {
  readonly #outbox: Outbox
  readonly #clock: Clock
  readonly #state: string
  readonly #heartbeat: string
  readonly #describe: () => object
  readonly #live: () => object
  readonly #everySeconds: number
  #first = 0
  #states = 0
  #beats = 0

  constructor(parts: {
    outbox: Outbox
    clock: Clock
    topics: Topics
    device: string
    describe: () => object
    /** What each heartbeat tells beside that the device is alive: small. */
    live: () => object
    heartbeatSeconds: number
  }) {
    this.#outbox = parts.outbox
    this.#clock = parts.clock
    this.#state = parts.topics.up(parts.device, 'state')
    this.#heartbeat = parts.topics.up(parts.device, 'hb')
    this.#describe = parts.describe
    this.#live = parts.live
    this.#everySeconds = parts.heartbeatSeconds
  }

  /** Rises with each connection, for good. */
  get connection(): number {
    return this.#first / STATES_OF_A_CONNECTION
  }

  /** A new connection begins; what the broker says when it breaks. */
  begin(): Message {
    this.#first = this.#outbox.nextConnection() * STATES_OF_A_CONNECTION
    this.#states = 0
    return this.#message(this.#first + STATES_OF_A_CONNECTION - 1, { online: false })
  }

  async say(line: Line): Promise<void> {
    await line.publish(this.#next({ ...this.#describe(), online: true }))
  }

  /** A goodbye: the broker says the last will only for those who leave without one. */
  async leave(line: Line): Promise<void> {
    await line.publish(this.#next({ online: false }))
  }

  async beat(line: Line): Promise<void> {
    this.#beats += 1
    const payload = encodeMessage({
      ...this.#live(),
      sid: this.#outbox.sid,
      seq: this.#beats,
      time: this.#clock.now(),
      every_seconds: this.#everySeconds,
    })
    await line.publish({ topic: this.#heartbeat, payload, qos: 0, retain: false })
  }

  #next(body: object): Message {
    this.#states = Math.min(this.#states + 1, STATES_OF_A_CONNECTION - 2)
    return this.#message(this.#first + this.#states, body)
  }

  #message(seq: number, body: object): Message {
    const payload = encodeMessage({ ...body, sid: this.#outbox.sid, seq })
    return { topic: this.#state, payload, qos: 1, retain: true }
  }
}
