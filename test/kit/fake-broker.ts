/** A broker that says what the test wants it to say, byte for byte. MQTT 5 only, and hardly that. */
import { createServer, type Socket } from 'node:net'

export interface FakeBroker {
  readonly port: number
  /** Types of the packets that came, as MQTT numbers them, and how long each was. */
  readonly packets: { readonly type: number; readonly bytes: number }[]
  close(): Promise<void>
}

const CONNECT = 1
const PUBLISH = 3

/** CONNACK with a reason and properties (MQTT 5, 3.2). */
export function connack(reason: number, properties: readonly number[] = []): Uint8Array {
  return Uint8Array.from([0x20, 3 + properties.length, 0, reason, properties.length, ...properties])
}

export const property = {
  maximumPacketSize: (bytes: number) => [
    0x27,
    (bytes >>> 24) & 255,
    (bytes >>> 16) & 255,
    (bytes >>> 8) & 255,
    bytes & 255,
  ],
  receiveMaximum: (count: number) => [0x21, count >> 8, count & 255],
  serverReference: (text: string) => [0x1c, 0, text.length, ...Buffer.from(text)],
}

export async function startFakeBroker(
  answerConnect: (attempt: number) => Uint8Array | undefined,
): Promise<FakeBroker> {
  const packets: FakeBroker['packets'] = []
  const sockets = new Set<Socket>()
  let attempts = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    let held = Buffer.alloc(0)
    socket.on('data', (piece: Buffer) => {
      held = Buffer.concat([held, piece])
      for (let packet = cut(held); packet !== undefined; packet = cut(held)) {
        held = held.subarray(packet.bytes)
        packets.push({ type: packet.type, bytes: packet.bytes })
        if (packet.type !== CONNECT) continue
        attempts += 1
        const answer = answerConnect(attempts)
        if (answer === undefined) socket.destroy()
        else socket.write(answer)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    packets,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export const countPublished = (broker: FakeBroker) =>
  broker.packets.filter(({ type }) => type === PUBLISH).length

/** The first packet, when all of it is here. */
function cut(bytes: Buffer): { type: number; bytes: number } | undefined {
  let length = 0
  for (let digit = 0; digit < 4; digit += 1) {
    const byte = bytes[1 + digit]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 128 ** digit
    if ((byte & 0x80) !== 0) continue
    const whole = 2 + digit + length
    return bytes.length < whole ? undefined : { type: (bytes[0] ?? 0) >> 4, bytes: whole }
  }
  return undefined
}
