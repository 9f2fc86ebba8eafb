import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Aedes, type AedesPublishPacket, type Client } from 'aedes'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Message, Tls } from '../link/line.ts'
import { type Topics, UP_KINDS } from '../link/topics.ts'
import { BrokerRules } from './broker-rules.ts'
import { guardPackets } from './packet-guard.ts'

const LOG = logger('registry')

/** What a device may send at once: more than any message that it has to say. */
const PACKET_BYTES_MAX = 512 * 1024
const CONNECT_MS_MAX = 10_000
/** A device that does not read for so long is let go, with what waits for it. */
const DRAIN_MS_MAX = 30_000
const CONNECTIONS_MAX = 20_000
const TOPIC_LEVELS_MAX = 16

/** Where messages of devices come in and messages to them go out: the broker inside, or a line to another. */
export interface BrokerLine {
  /** What devices say now is heard. */
  readonly isUp: boolean
  publish(message: Message): Promise<void>
  close(): Promise<void>
}

export type TakeMessage = (topic: string, payload: Uint8Array) => void

export interface BrokerOptions {
  readonly hostname: string
  readonly port: number
  readonly topics: Topics
  /** Undefined: without TLS. */
  readonly tls: Tls | undefined
  readonly isSecretOf: (device: string, secret: string) => boolean
  readonly take: TakeMessage
}

/** The broker inside the registry: MQTT 3.1.1, everything in memory, each device held to its own topics. */
export class EmbeddedBroker implements BrokerLine {
  readonly isUp = true
  readonly port: number
  readonly #aedes: Aedes
  readonly #server: Server
  readonly #sockets: ReadonlySet<Socket>

  private constructor(parts: { aedes: Aedes; server: Server; sockets: ReadonlySet<Socket>; port: number }) {
    this.#aedes = parts.aedes
    this.#server = parts.server
    this.#sockets = parts.sockets
    this.port = parts.port
  }

  static async start(options: BrokerOptions): Promise<EmbeddedBroker> {
    const aedes = await Aedes.createBroker({
      ...createHooks(options),
      connectTimeout: CONNECT_MS_MAX,
      drainTimeout: DRAIN_MS_MAX,
      maxTopicLevels: TOPIC_LEVELS_MAX,
    })
    await hear(aedes, options)
    const sockets = new Set<Socket>()
    const accept = (socket: Socket) => {
      guardPackets(socket, PACKET_BYTES_MAX)
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      socket.setNoDelay(true)
      aedes.handle(socket)
    }
    const server =
      options.tls === undefined ? createServer(accept) : createTlsServer(serverTls(options.tls), accept)
    server.maxConnections = CONNECTIONS_MAX
    const port = await listen(server, options)
    return new EmbeddedBroker({ aedes, server, sockets, port })
  }

  /** Resolves when everybody who hears it has been sent it: whoever waits for that goes no faster than the slowest. */
  publish({ topic, payload, qos, retain }: Message): Promise<void> {
    const packet = {
      cmd: 'publish',
      topic,
      payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      qos,
      retain,
      dup: false,
    } as const
    return new Promise((resolve, reject) => {
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()))
    })
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await new Promise<void>((resolve) => this.#aedes.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

/** Where an authority for clients is named, nobody comes in without a certificate of it; the password is asked for all the same. */
function serverTls(tls: Tls) {
  return { ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: tls.ca !== undefined }
}

/** MQTT 3.1.1, 3.2.2.3. */
const BAD_USER_NAME_OR_PASSWORD = 4

function createHooks({ topics, isSecretOf }: BrokerOptions) {
  const rules = new BrokerRules(topics)
  return {
    preConnect: (_: Client, packet: { clean?: boolean }, done: (error: null, success: boolean) => void) => {
      // Nothing rests on sessions, and what is kept for those who never come back would grow for ever.
      packet.clean = true
      done(null, true)
    },
    authenticate: (
      client: Client,
      username: string | undefined,
      password: Buffer | undefined,
      done: (error: (Error & { returnCode: number }) | null, success: boolean | null) => void,
    ) => {
      const isKnown =
        rules.mayConnect({ clientId: client.id, username }) && isSecretOf(client.id, String(password ?? ''))
      if (isKnown) return done(null, true)
      LOG.warn('registry.mqtt_refused', { client_id: client.id.slice(0, 64) })
      done(
        Object.assign(new Error('bad user name or password'), { returnCode: BAD_USER_NAME_OR_PASSWORD }),
        false,
      )
    },
    authorizePublish: (
      client: Client | null,
      packet: { topic: string },
      done: (error?: Error | null) => void,
    ) => {
      // Without a client it is the registry itself.
      if (client === null || rules.mayPublish(client.id, packet.topic)) return done(null)
      LOG.warn('registry.mqtt_forbidden', { device: client.id, publish: packet.topic.slice(0, 200) })
      done(new Error('not allowed'))
    },
    authorizeSubscribe: <S extends { topic: string }>(
      client: Client,
      subscription: S,
      done: (error: null, subscription: S | null) => void,
    ) => {
      if (rules.maySubscribe(client.id, subscription.topic)) return done(null, subscription)
      LOG.warn('registry.mqtt_forbidden', { device: client.id, subscribe: subscription.topic.slice(0, 200) })
      done(null, null)
    },
  }
}

/** What devices say goes straight to whoever takes it. */
async function hear(aedes: Aedes, { topics, take }: BrokerOptions): Promise<void> {
  const deliver = (packet: AedesPublishPacket, done: () => void) => {
    take(packet.topic, packet.payload as Buffer)
    done()
  }
  for (const kind of UP_KINDS) {
    await new Promise<void>((resolve) => aedes.subscribe(topics.upFromAll(kind), deliver, resolve))
  }
}

function listen(server: Server, { hostname, port }: BrokerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new EdgeError(
          'config_invalid',
          `Cannot listen for MQTT on ${hostname}:${port}: ${messageOf(cause)}; choose another with --mqtt-port, 0 for any`,
          { cause },
        ),
      ),
    )
    server.listen(port, hostname, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}
