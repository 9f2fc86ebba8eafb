import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import { AnySource } from './any-source.ts'
import { type Backlog, BacklogSender } from './backlog-sender.ts'
import { type BandwidthTable, bandwidthAt } from './bandwidth.ts'
import type { ChunkSource, DecodeChunk } from './chunk-source.ts'
import { type Arrived, CommandInbox } from './command-inbox.ts'
import { Command } from './commands.ts'
import { Exchange } from './exchange.ts'
import { type BlobQuestion, fetchBlob } from './fetch-blob.ts'
import { HttpChunks } from './http-chunks.ts'
import { HttpRegistry } from './http-registry.ts'
import { KeptLine } from './kept-line.ts'
import type { Line, LineOptions, OpenLine, Tls } from './line.ts'
import { Desired, decodeMessage, FRAME_BYTES, RegistryState } from './messages.ts'
import { MqttChunks } from './mqtt-chunks.ts'
import type { Outbox } from './outbox.ts'
import { Presence } from './presence.ts'
import { Sync } from './sync.ts'
import type { TelemetryOutbox } from './telemetry-outbox.ts'
import { TokenBucket } from './token-bucket.ts'
import { Topics, type UpKind } from './topics.ts'

const LOG = logger('link')

export interface LinkOptions {
  readonly device: string
  readonly secret: string
  /** `mqtt://host:port` or `mqtts://host:port`. */
  readonly mqttUrl: string
  /** Undefined: the registry's HTTP API cannot be reached from here. */
  readonly httpUrl: string | undefined
  readonly prefix: string
  readonly tls: Tls
  /** Of one MQTT message; the broker's own limit counts where it is lower. */
  readonly payloadBytesMax: number
  readonly keepaliveSeconds: number
  readonly heartbeatSeconds: number
  readonly bandwidth: BandwidthTable
  /** Which way bytes come, the one to try first comes first. */
  readonly transports: readonly ('http' | 'mqtt')[]
  /** A transfer without a new chunk for so long is given up. */
  readonly idleSecondsMax: number
  /** What events and telemetry may take of the line together; without it a quarter of `bandwidth`, or a little. */
  readonly reportBytesPerSecondMax?: number | undefined
}

export interface LinkParts {
  readonly options: LinkOptions
  readonly clock: Clock
  readonly random: Random
  readonly outbox: Outbox
  readonly decode: DecodeChunk
  /** What the device says of itself when it comes, and with `state`. */
  readonly describe: () => object
  /** What it tells with each heartbeat. */
  readonly live?: () => object
  readonly telemetry?: TelemetryOutbox
}

/** What the topic, the lengths and the properties of a packet take of what the broker allows. */
const PACKET_OVERHEAD_BYTES = 256
/** A transfer waits so long for a line before it tries another way. */
const LINE_MS_MAX = 15_000
/** The device's line to its registry: what it fetches, what it reports, what it is told. */
export class Link {
  /** Every way that chunks can come. */
  readonly chunks: ChunkSource
  readonly #parts: LinkParts
  readonly #topics: Topics
  readonly #kept: KeptLine
  readonly #exchange: Exchange
  readonly #http: HttpRegistry | undefined
  readonly #events: BacklogSender
  readonly #telemetry: BacklogSender | undefined
  readonly #presence: Presence
  readonly #sync: Sync
  readonly #commands: CommandInbox
  readonly #desired: ((desired: Desired) => void)[] = []
  readonly #metadata: (() => void)[] = []
  #onCommand: (arrived: Arrived) => void = () => undefined
  /** The rev that the device knows; the agent says it. */
  #rev = 0
  #clockOffsetMs: number | undefined
  /** The state has changed while there was no line: perhaps after it was said on one that was on its way. */
  #owesState = false

  constructor(parts: LinkParts) {
    this.#parts = parts
    const { options, clock, random } = parts
    this.#topics = new Topics(options.prefix)
    const common = { live: () => ({}), ...parts, ...options, topics: this.#topics }
    this.#exchange = new Exchange({ ...common, connection: () => this.#presence.connection })
    const pace = new TokenBucket({ clock, rate: () => reportRate(options, clock) })
    const sender = (backlog: Backlog, kind: UpKind) =>
      new BacklogSender({ backlog, clock, pace, topic: this.#topics.up(options.device, kind) })
    this.#events = sender(parts.outbox, 'ev')
    this.#telemetry = parts.telemetry === undefined ? undefined : sender(parts.telemetry, 'tm')
    this.#presence = new Presence(common)
    this.#commands = new CommandInbox({ clock, hand: (arrived) => this.#onCommand(arrived) })
    this.#sync = new Sync({
      clock,
      random,
      exchange: this.#exchange,
      frameBytes: (line) => this.#frameBytes(line),
      rev: () => this.#rev,
      onRebirth: (line) => this.#presence.say(line),
      onAnswer: ({ desired, time_ms }, { isNew }) => {
        this.#clockOffsetMs = clock.now() - time_ms
        this.#commands.know(time_ms)
        if (isNew) this.#events.again()
        if (isNew) this.#telemetry?.again()
        if (desired !== null) this.#takeDesired(desired)
      },
    })
    this.#kept = new KeptLine({
      clock,
      random,
      options: () => this.#lineOptions(),
      devices: () => this.#sync.devices,
      greet: (line) => this.#greet(line),
      onUp: (line) => this.#serve(line),
      leave: (line) => this.#presence.leave(line),
    })
    this.#http =
      options.httpUrl === undefined ? undefined : new HttpRegistry({ ...options, url: options.httpUrl })
    this.chunks = this.#openChunks()
  }

  #openChunks(): ChunkSource {
    const { options, clock, random, decode } = this.#parts
    const rate = () => bandwidthAt(options.bandwidth, new Date(clock.now()))
    const bucket = new TokenBucket({ clock, rate })
    const sources: ChunkSource[] = []
    for (const transport of options.transports) {
      if (transport === 'http' && this.#http !== undefined) {
        sources.push(new HttpChunks({ registry: this.#http, bucket, decode }))
      }
      if (transport === 'mqtt') {
        sources.push(
          new MqttChunks({
            exchange: this.#exchange,
            line: (signal) => this.#waitForLine(signal),
            frameBytes: (line) => this.#frameBytes(line),
            bucket,
            decode,
          }),
        )
      }
    }
    return new AnySource({ sources, clock, random, idleMsMax: options.idleSecondsMax * 1000 })
  }

  /** A line that has just broken is back soon. */
  async #waitForLine(signal: AbortSignal): Promise<Line> {
    await this.#kept.whenUp(LINE_MS_MAX, signal)
    return this.#kept.line
  }

  /** Keeps the line until the signal fires. */
  async run(stop: AbortSignal): Promise<void> {
    await this.#kept.run(stop)
  }

  get isUp(): boolean {
    return this.#kept.isUp
  }

  /** How far this clock is ahead of the registry's, give or take the way of one message. */
  get clockOffsetMs(): number | undefined {
    return this.#clockOffsetMs
  }

  onDesired(call: (desired: Desired) => void): void {
    this.#desired.push(call)
  }

  /** The registry has new metadata, or may have: the agent looks. */
  onMetadata(call: () => void): void {
    this.#metadata.push(call)
  }

  /** What somebody asks of this device, each as often as it comes. */
  onCommand(call: (arrived: Arrived) => void): void {
    this.#onCommand = call
  }

  /** The last rev that the device has taken: said at the next sync. */
  knowRev(rev: number): void {
    this.#rev = rev
  }

  /** Kept until the registry has it. Within the caller's transaction. */
  report(event: object): void {
    this.#parts.outbox.put(event)
  }

  /** Says anew what the device is like, when that has changed; a line that is down says it when it is up again. */
  async reportState(): Promise<void> {
    if (this.#kept.isUp) await this.#presence.say(this.#kept.line)
    else this.#owesState = true
  }

  fetchMetadata(name: string, bytesMax: number, signal = NEVER): Promise<Uint8Array | undefined> {
    return this.#fetch({ op: 'meta', name }, { path: `/tuf/${encodeURIComponent(name)}`, bytesMax, signal })
  }

  fetchObject(sha256: string, bytesMax: number, signal = NEVER): Promise<Uint8Array | undefined> {
    return this.#fetch({ op: 'object', sha256 }, { path: `/v1/objects/${sha256}`, bytesMax, signal })
  }

  /** The signed envelope. */
  fetchAssignment(bytesMax: number, signal = NEVER): Promise<Uint8Array | undefined> {
    const path = `/v1/assignments/${this.#parts.options.device}`
    return this.#fetch({ op: 'assignment' }, { path, bytesMax, signal })
  }

  /** The registry's signed word on the time. Over MQTT only: it answers one question of one device. */
  async fetchTime(nonce: string, signal = NEVER): Promise<Uint8Array | undefined> {
    const line = this.#kept.line
    const question = { op: 'time', nonce, frame_bytes: this.#frameBytes(line) } as const
    return await this.#exchange.askOnce(question, { line, signal })
  }

  /** What a command has brought together, for the registry to keep. Over HTTP only: it may be much. */
  async upload(rid: string, bytes: Uint8Array<ArrayBuffer>, signal = NEVER): Promise<void> {
    if (this.#http === undefined) {
      throw new EdgeError(
        'unsupported',
        `Cannot upload ${bytes.byteLength} bytes: the registry cannot be reached by HTTP`,
      )
    }
    await this.#http.put(`/v1/uploads/${rid}`, bytes, signal)
  }

  /** Over MQTT where there is a line, else, or where that fails, over HTTP. */
  async #fetch(
    what: BlobQuestion,
    options: { path: string; bytesMax: number; signal: AbortSignal },
  ): Promise<Uint8Array | undefined> {
    const { bytesMax, signal } = options
    try {
      const line = this.#kept.line
      return await fetchBlob(what, {
        exchange: this.#exchange,
        line,
        frameBytes: this.#frameBytes(line),
        bytesMax,
        signal,
      })
    } catch (error) {
      signal.throwIfAborted()
      if (this.#http === undefined || !(error instanceof EdgeError) || error.code !== 'peer_failed')
        throw error
      return await this.#http.fetchWhole(options.path, options)
    }
  }

  #frameBytes(line: OpenLine): number {
    const most = Math.min(
      this.#parts.options.payloadBytesMax,
      line.limits.packetBytesMax - PACKET_OVERHEAD_BYTES,
    )
    return Math.max(FRAME_BYTES.least, Math.min(FRAME_BYTES.most, most))
  }

  #lineOptions(): Omit<LineOptions, 'version'> {
    const { options } = this.#parts
    return {
      url: options.mqttUrl,
      clientId: options.device,
      username: options.device,
      password: options.secret,
      tls: options.tls,
      keepaliveSeconds: options.keepaliveSeconds,
      will: this.#presence.begin(),
    }
  }

  async #greet(line: Line): Promise<void> {
    const { device } = this.#parts.options
    line.onMessage((topic, payload) => this.#take(topic, payload))
    await line.subscribe([
      { topic: this.#topics.down(device, 'rsp'), qos: 0 },
      { topic: this.#topics.down(device, 'desired'), qos: 1 },
      { topic: this.#topics.down(device, 'cmd'), qos: 1 },
      { topic: this.#topics.registryState, qos: 1 },
      { topic: this.#topics.registryMeta, qos: 1 },
    ])
    this.#owesState = false
    await this.#presence.say(line)
  }

  /** As long as the line lasts. */
  async #serve(line: Line): Promise<void> {
    if (this.#owesState) await this.#presence.say(line)
    const left = new AbortController()
    void line.ended.then(() => left.abort())
    await Promise.all([
      this.#sync.run(line, left.signal),
      this.#events.run(line, left.signal),
      this.#telemetry?.run(line, left.signal),
      this.#beat(line, left.signal),
    ])
  }

  #take(topic: string, payload: Uint8Array): void {
    try {
      const { device } = this.#parts.options
      if (topic === this.#topics.down(device, 'rsp')) this.#takeAnswer(payload)
      else if (topic === this.#topics.down(device, 'cmd'))
        this.#commands.take(decodeMessage(Command, payload))
      else if (topic === this.#topics.registryMeta) for (const call of this.#metadata) call()
      else if (topic === this.#topics.registryState) this.#sync.notice(decodeMessage(RegistryState, payload))
      else this.#takeDesired(decodeMessage(Desired, payload))
    } catch (error) {
      if (error instanceof EdgeError) LOG.warn('link.message_refused', { topic, reason: error.message })
      else this.#kept.fail(error)
    }
  }

  #takeAnswer(payload: Uint8Array): void {
    const ack = this.#exchange.take(payload)
    if (ack === undefined) return
    const sid = Buffer.from(ack.bytes).toString()
    for (const sender of [this.#events, this.#telemetry]) sender?.acknowledge(sid, ack.item)
  }

  #takeDesired(desired: Desired): void {
    for (const call of this.#desired) call(desired)
  }

  async #beat(line: Line, stop: AbortSignal): Promise<void> {
    const { clock, options } = this.#parts
    while (!stop.aborted) {
      await clock.sleep(options.heartbeatSeconds * 1000, stop)
      if (!stop.aborted) await this.#presence.beat(line)
    }
  }
}

const NEVER = new AbortController().signal

/** What reports may take where nothing is said of the line. */
const REPORT_BYTES_PER_SECOND = 16 * 1024
const REPORT_SHARE = 0.25

function reportRate({ reportBytesPerSecondMax, bandwidth }: LinkOptions, clock: Clock): number {
  if (reportBytesPerSecondMax !== undefined) return reportBytesPerSecondMax
  const line = bandwidthAt(bandwidth, new Date(clock.now()))
  return line === undefined ? REPORT_BYTES_PER_SECOND : line * REPORT_SHARE
}
