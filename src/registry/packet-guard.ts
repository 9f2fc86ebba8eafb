import type { Socket } from 'node:net'

/**
 * The broker's library collects a packet until it is whole, and MQTT lets a packet be 256 MB, from somebody who has not
 * even said who he is. This reads along (MQTT 3.1.1, 2.2.3: type, then the length in up to four bytes of seven bits) and
 * says no as soon as a length is too large.
 */
export class PacketLengths {
  readonly #bytesMax: number
  /** Of the current packet, still to come. */
  #rest = 0
  #length = 0
  /** Where in the header we are: 0 is before the type. */
  #digit = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** False: a packet is longer than it may be, or the length is none. */
  allow(bytes: Uint8Array): boolean {
    let at = 0
    while (at < bytes.byteLength) {
      if (this.#rest > 0) {
        const skipped = Math.min(this.#rest, bytes.byteLength - at)
        this.#rest -= skipped
        at += skipped
        continue
      }
      if (!this.#readHeader(bytes[at] ?? 0)) return false
      at += 1
    }
    return true
  }

  #readHeader(byte: number): boolean {
    if (this.#digit === 0) {
      this.#length = 0
      this.#digit = 1
      return true
    }
    this.#length += (byte & 0x7f) * 128 ** (this.#digit - 1)
    if (this.#length > this.#bytesMax || (byte & 0x80 && this.#digit === 4)) return false
    if (byte & 0x80) this.#digit += 1
    else {
      this.#digit = 0
      this.#rest = this.#length
    }
    return true
  }
}

/** Hangs up on whoever sends a packet that is too long. The library takes what it parses from `read`. */
export function guardPackets(socket: Socket, bytesMax: number): void {
  const lengths = new PacketLengths(bytesMax)
  const read = socket.read.bind(socket)
  socket.read = (size?: number) => {
    const bytes: unknown = read(size)
    if (!(bytes instanceof Uint8Array) || lengths.allow(bytes)) return bytes
    socket.destroy()
    return null
  }
}
