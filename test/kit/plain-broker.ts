/**
 * A broker in this process that does no more than it has to: MQTT 3.1.1, nothing retained, no wills, no sessions, short
 * packets. It may change what passes through it.
 */
import { createServer, type Socket } from 'node:net'
import { Aedes, type Client } from 'aedes'
import { guardPackets } from '../../src/registry/packet-guard.ts'

const PACKET_BYTES_MAX = 64 * 1024

/** What somebody publishes, before anybody else sees it. */
export interface Passing {
  readonly topic: string
  payload: Buffer | string
}

export interface PlainBroker {
  readonly url: string
  readonly port: number
  publish(topic: string, payload: string): void
  stop(): Promise<void>
}

export async function startPlainBroker(
  options: { port?: number; change?: (passing: Passing) => void } = {},
): Promise<PlainBroker> {
  const aedes = await Aedes.createBroker({
    preConnect: (_: Client, packet, done) => {
      packet.clean = true
      delete packet.will
      done(null, true)
    },
    authorizePublish: (_, packet, done) => {
      packet.retain = false
      options.change?.(packet)
      done(null)
    },
  })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    guardPackets(socket, PACKET_BYTES_MAX)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    aedes.handle(socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as { port: number }
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    publish: (topic, payload) => {
      const packet = { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false } as const
      aedes.publish(packet, () => undefined)
    },
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      await new Promise<void>((resolve) => aedes.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
