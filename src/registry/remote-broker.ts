import type { Clock } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import { KeptLine } from '../link/kept-line.ts'
import type { Message, Tls } from '../link/line.ts'
import { encodeMessage } from '../link/messages.ts'
import { type Topics, UP_KINDS } from '../link/topics.ts'
import type { BrokerLine, TakeMessage } from './broker.ts'

export interface RemoteBrokerOptions {
  readonly url: string
  readonly username: string
  readonly password: string | undefined
  readonly tls: Tls
  readonly topics: Topics
  /** Of this run of the registry. */
  readonly sid: string
  readonly clock: Clock
  readonly random: Random
  readonly take: TakeMessage
  /** Each time that the broker can be reached again: it may have forgotten everything. */
  readonly onUp: () => Promise<void>
}

const KEEPALIVE_SECONDS = 30

/** A line to a broker elsewhere. While it is down nothing can be said: devices ask again. */
export class RemoteBroker implements BrokerLine {
  readonly #kept: KeptLine
  readonly #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(options: RemoteBrokerOptions) {
    const { topics, clock, random } = options
    this.#kept = new KeptLine({
      clock,
      random,
      options: () => ({
        url: options.url,
        clientId: options.username,
        username: options.username,
        password: options.password,
        tls: options.tls,
        keepaliveSeconds: KEEPALIVE_SECONDS,
        will: {
          topic: topics.registryState,
          payload: encodeMessage({ online: false, ts: clock.now(), sid: options.sid, pv: [1] }),
          qos: 1,
          retain: true,
        },
      }),
      greet: async (line) => {
        line.onMessage((topic, payload) => options.take(topic, payload))
        await line.subscribe(UP_KINDS.map((kind) => ({ topic: topics.upFromAll(kind), qos: 1 })))
      },
      onUp: options.onUp,
    })
  }

  get isUp(): boolean {
    return this.#kept.isUp
  }

  start(): void {
    this.#running = this.#kept.run(this.#stop.signal)
  }

  async publish(message: Message): Promise<void> {
    await this.#kept.line.publish(message)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}
