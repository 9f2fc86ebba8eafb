import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** Where the broker is, and as whom to come. */
export interface LineOptions {
  /** `mqtt://host:port` or `mqtts://host:port`. */
  readonly url: string
  readonly clientId: string
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: Tls
  readonly version: MqttVersion
  readonly keepaliveSeconds: number
  /** Said by the broker when this line breaks; some brokers never do. */
  readonly will: Message | undefined
}

/** Certificates as PEM. */
export interface Tls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export type MqttVersion = 4 | 5

export interface Message {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1
  readonly retain: boolean
}

/** What the broker has said of itself, or what MQTT means when it says nothing. */
export interface BrokerLimits {
  readonly packetBytesMax: number
  /** Messages that may be under way without having been acknowledged. */
  readonly receiveMax: number
}

/** How a line came to its end. */
export interface LineEnd {
  readonly reason: string
  readonly isBusy: boolean
  /** Another broker, which this one has named. */
  readonly reference: string | undefined
}

const CONNECT_MS_MAX = 20_000
const PACKET_BYTES_MAX = 268_435_455
/** MQTT 3.1.1 announces nothing: as many as any broker takes. */
const RECEIVE_MAX = 20
/** What is more than any broker needs. */
const RECEIVE_MOST = 64

/** MQTT 5, 4.13: reasons that ask for more than to try again. */
const SERVER_BUSY = 0x89
const USE_ANOTHER_SERVER = 0x9c
const SERVER_MOVED = 0x9d
/** "Unsupported protocol version": of MQTT 5, and of MQTT 3.1.1 as it looks to one who asked for 5. */
const WRONG_VERSION: ReadonlySet<number> = new Set([0x84, 0x01])

/** The broker could not be had. */
export class LineRefused extends EdgeError {
  readonly end: LineEnd
  /** Whether another version of MQTT would do: it said so, or hung up without a word, or it is about something else. */
  readonly version: 'wrong' | 'silent' | 'other'

  constructor(message: string, options: { end: LineEnd; version: LineRefused['version']; cause?: unknown }) {
    super('peer_failed', message, options)
    this.end = options.end
    this.version = options.version
  }
}

/** One connection to a broker, from its CONNACK to its end. It never comes back: who wants another makes one. */
export class Line {
  readonly limits: BrokerLimits
  readonly ended: Promise<LineEnd>
  readonly #client: MqttClient
  #isOpen = true
  #unacknowledged = 0
  readonly #waiting: (() => void)[] = []

  constructor(client: MqttClient, ended: Promise<LineEnd>) {
    this.#client = client
    const { maximumPacketSize, receiveMaximum } = client.serverProperties ?? {}
    this.limits = {
      packetBytesMax: maximumPacketSize ?? PACKET_BYTES_MAX,
      receiveMax: Math.min(receiveMaximum ?? RECEIVE_MAX, RECEIVE_MOST),
    }
    this.ended = ended.then((end) => {
      this.#isOpen = false
      for (const wake of this.#waiting.splice(0)) wake()
      return end
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  onMessage(take: (topic: string, payload: Uint8Array) => void): void {
    this.#client.on('message', (topic, payload) => take(topic, payload))
  }

  async subscribe(filters: readonly { topic: string; qos: 0 | 1 }[]): Promise<void> {
    const map = Object.fromEntries(filters.map(({ topic, qos }) => [topic, { qos }]))
    try {
      await this.#attempt(() => this.#client.subscribeAsync(map))
    } catch (cause) {
      if (!this.#isOpen) throw cause
      const topics = filters.map(({ topic }) => `"${topic}"`).join(', ')
      throw new EdgeError('forbidden', `Cannot subscribe to ${topics}: the broker does not allow it`, {
        cause,
      })
    }
  }

  /** Resolves when the message has been written, with QoS 1 when the broker has acknowledged it. */
  async publish({ topic, payload, qos, retain }: Message): Promise<void> {
    // A packet is the message and its header: type, length, topic, id, properties.
    const bytes = payload.byteLength + Buffer.byteLength(topic) + 16
    if (bytes > this.limits.packetBytesMax) {
      throw new EdgeError(
        'body_too_large',
        `Cannot send ${bytes} bytes to "${topic}": the broker takes ${this.limits.packetBytesMax}`,
      )
    }
    if (qos === 1) await this.#takeTurn()
    try {
      await this.#attempt(() => this.#client.publishAsync(topic, asBuffer(payload), { qos, retain }))
    } finally {
      if (qos === 1) this.#giveTurn()
    }
  }

  /** Says goodbye, so that the broker does not say the last will. */
  async close(): Promise<void> {
    await this.#client.endAsync().catch(() => undefined)
  }

  /** Hangs up: what the other side makes of it is its business. */
  drop(): void {
    this.#client.end(true)
  }

  /** No more may be under way than the broker has said (MQTT 5, 3.1.2.11.3); the library does not count. */
  async #takeTurn(): Promise<void> {
    while (this.#isOpen && this.#unacknowledged >= this.limits.receiveMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#unacknowledged += 1
  }

  #giveTurn(): void {
    this.#unacknowledged -= 1
    this.#waiting.shift()?.()
  }

  /** The library keeps what it is given while there is no connection, without a bound: it is not given anything. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isOpen) throw closed()
    try {
      return await Promise.race([work(), this.ended.then(() => Promise.reject(closed()))])
    } catch (cause) {
      if (cause instanceof EdgeError) throw cause
      throw new EdgeError('peer_failed', `Cannot send: ${messageOf(cause)}`, { cause })
    }
  }
}

function closed(): EdgeError {
  return new EdgeError('peer_failed', 'Cannot send: the line to the broker is closed')
}

/** What others need of a line. */
export type OpenLine = Pick<Line, 'isOpen' | 'limits' | 'ended' | 'publish'>

/** Resolves once the broker has said yes. */
export function openLine(options: LineOptions, signal: AbortSignal): Promise<Line> {
  signal.throwIfAborted()
  const client = connect({ ...brokerAt(options.url), ...clientOptions(options) })
  const watch = new EndWatch(client)
  return new Promise<Line>((resolve, reject) => {
    const giveUp = () => client.end(true)
    signal.addEventListener('abort', giveUp, { once: true })
    client.once('connect', () => resolve(new Line(client, watch.ended)))
    void watch.ended.then((end) => {
      signal.removeEventListener('abort', giveUp)
      reject(watch.refusal(options, end))
    })
  })
}

const PORTS: Readonly<Record<string, number>> = { 'mqtt:': 1883, 'mqtts:': 8883 }

/** Taken apart here: the library would do it with a function of Node's that warns on standard error. */
function brokerAt(text: string): IClientOptions {
  const { protocol, hostname, port, username, password } = new URL(text)
  return {
    protocol: protocol === 'mqtts:' ? 'mqtts' : 'mqtt',
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (PORTS[protocol] ?? 1883) : Number(port),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  }
}

function clientOptions({ tls, version, ...options }: LineOptions): IClientOptions {
  const will =
    options.will === undefined ? {} : { will: { ...options.will, payload: asBuffer(options.will.payload) } }
  return {
    clientId: options.clientId,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...tls,
    ...will,
    protocolVersion: version,
    clean: true,
    keepalive: options.keepaliveSeconds,
    connectTimeout: CONNECT_MS_MAX,
    // Coming back is decided elsewhere: the library's way has no jitter and never gives up.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
  }
}

/** Collects what is said on the way to the end of a connection. */
class EndWatch {
  readonly ended: Promise<LineEnd>
  #error: unknown
  #code: number | undefined
  #reference: string | undefined
  #hasAnswered = false

  constructor(client: MqttClient) {
    client.on('error', (error) => {
      this.#error ??= error
      if ('code' in error && typeof error.code === 'number') this.#code = error.code
    })
    client.on('packetreceive', (packet) => {
      this.#hasAnswered = true
      if (packet.cmd !== 'connack' && packet.cmd !== 'disconnect') return
      this.#code = packet.reasonCode ?? this.#code
      this.#reference = packet.properties?.serverReference ?? this.#reference
    })
    this.ended = new Promise((resolve) => {
      client.once('close', () => {
        client.end(true)
        resolve(this.#describe())
      })
    })
  }

  #describe(): LineEnd {
    const isElsewhere = this.#code === USE_ANOTHER_SERVER || this.#code === SERVER_MOVED
    return {
      reason: this.#error === undefined ? 'the connection was closed' : messageOf(this.#error),
      // 3 is MQTT 3.1.1's "server unavailable".
      isBusy: this.#code === SERVER_BUSY || this.#code === 3,
      reference: isElsewhere ? this.#reference : undefined,
    }
  }

  refusal({ url }: LineOptions, end: LineEnd): LineRefused {
    const isWrong = this.#hasAnswered && WRONG_VERSION.has(this.#code ?? 0)
    const isSilent = !this.#hasAnswered && this.#error === undefined
    return new LineRefused(`Cannot reach the broker "${withoutPassword(url)}": ${end.reason}`, {
      end,
      version: isWrong ? 'wrong' : isSilent ? 'silent' : 'other',
      cause: this.#error,
    })
  }
}

/** A URL may carry a password, and a message ends in a log. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//')
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
