import { dlopen, type Pointer } from 'bun:ffi'
import type { Socket } from 'bun'
import { BugError, EdgeError, messageOf } from '../kit/errors.ts'
import { Memory } from './memory.ts'

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

/**
 * How run threads wake the main thread: a byte through a pair of sockets, one end of which the event loop watches like
 * any other connection. Not `Atomics.waitAsync`: whoever wakes holds a lock of the engine that whoever is woken needs
 * in order to listen again, and where cores are few it is put aside with the lock in its hands. strace saw the main
 * thread wait for it at every second run.
 */
export class WakeLine {
  /** The end that threads write to. */
  readonly fd: number
  #socket: Socket | undefined
  #isHeld = false

  /** `onWake` may be called once for several wakings; `onBroken` when none will come any more. */
  constructor({ onWake, onBroken }: { onWake: () => void; onBroken: (error: Error) => void }) {
    const [ours, theirs] = createPair()
    this.fd = theirs
    const broken = (why: string) => onBroken(new BugError(`The line from the run threads failed: ${why}`))
    const listening = Bun.connect({
      // NOTE: Bun's types ask for a host or a path beside it; what is open already needs neither (seen with 1.4.5).
      ...({ fd: ours } as unknown as { unix: string }),
      socket: {
        open: (socket) => this.#listen(socket),
        data: onWake,
        error: (_socket, error) => broken(messageOf(error)),
      },
    })
    listening.catch((error: unknown) => broken(messageOf(error)))
  }

  /** While it is held, the process does not end for want of other work. */
  hold(isHeld: boolean): void {
    if (isHeld === this.#isHeld) return
    this.#isHeld = isHeld
    if (isHeld) this.#socket?.ref()
    else this.#socket?.unref()
  }

  /** Hears no more. */
  stop(): void {
    this.#socket?.end()
  }

  /** After the last thread that could write to it has ended: its number may be another file's from here on. */
  close(): void {
    LIBC.symbols.close(this.fd)
  }

  #listen(socket: Socket): void {
    this.#socket = socket
    if (!this.#isHeld) socket.unref()
  }
}

/** For a run thread: makes the main thread look. */
export function bindWake(fd: number): () => void {
  const byte = new Memory(1)
  return () => LIBC.symbols.send(fd, byte.address as Pointer, 1, MSG_DONTWAIT | MSG_NOSIGNAL)
}

const LIBC = dlopen('libc.so.6', {
  socketpair: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' },
  send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'void' },
  close: { args: ['i32'], returns: 'i32' },
})

function createPair(): [ours: number, theirs: number] {
  const pair = new Memory(8)
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  if (LIBC.symbols.socketpair(AF_UNIX, type, 0, pair.address as Pointer) !== 0)
    throw new EdgeError('runtime_failed', 'Cannot start run threads: the process has no file descriptor left')
  return [pair.words[0] ?? 0, pair.words[1] ?? 0]
}
