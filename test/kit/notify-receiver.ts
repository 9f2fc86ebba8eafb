/** Stands where systemd would: a datagram socket that takes what sd_notify(3) sends. */
import { dlopen } from 'bun:ffi'
import { rmSync } from 'node:fs'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const MSG_DONTWAIT = 0x40
const MESSAGE_BYTES_MAX = 4096

const libc = dlopen('libc.so.6', {
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
  close: { args: ['i32'], returns: 'i32' },
}).symbols

export class NotifyReceiver implements Disposable {
  readonly path: string
  readonly #socket: number
  readonly #taken: string[] = []

  /** A path, or "@NAME" for an abstract one. */
  constructor(path: string) {
    this.path = path
    const name = new TextEncoder().encode(path)
    const address = new Uint8Array(2 + name.length)
    address[0] = AF_UNIX
    address.set(name, 2)
    if (path.startsWith('@')) address[2] = 0
    this.#socket = libc.socket(AF_UNIX, SOCK_DGRAM, 0)
    if (libc.bind(this.#socket, address, address.length) !== 0) throw new Error(`Cannot bind "${path}"`)
  }

  /** All that has come so far, in order. */
  messages(): readonly string[] {
    const bytes = new Uint8Array(MESSAGE_BYTES_MAX)
    for (;;) {
      const length = Number(libc.recv(this.#socket, bytes, bytes.length, MSG_DONTWAIT))
      if (length < 0) return this.#taken
      this.#taken.push(new TextDecoder().decode(bytes.subarray(0, length)))
    }
  }

  /** The messages after the first `from` that say this. */
  count(what: string, from = 0): number {
    return this.messages()
      .slice(from)
      .filter((message) => message.split('\n').includes(what)).length
  }

  [Symbol.dispose](): void {
    libc.close(this.#socket)
    if (!this.path.startsWith('@')) rmSync(this.path, { force: true })
  }
}
