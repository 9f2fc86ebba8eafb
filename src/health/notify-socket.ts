import { dlopen } from 'bun:ffi'
import { EdgeError } from '../kit/errors.ts'

/** Of <sys/socket.h> on Linux, the same for x86-64 and arm64. */
const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2_000_000
/** Neither a signal nor a wait, whatever has become of the reader. */
const MSG_NOSIGNAL_DONTWAIT = 0x4040
const PATH_BYTES_MAX = 107

const SYMBOLS = {
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: 'i64' },
} as const

/**
 * The socket of sd_notify(3), which takes datagrams, and neither Bun nor Node opens one of those in the file system.
 * What comes back sends a message, and says whether it was taken.
 */
export function openNotifySocket(path: string): (message: string) => boolean {
  const address = socketAddress(path)
  const libc = dlopen('libc.so.6', SYMBOLS).symbols
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (socket < 0) throw new EdgeError('runtime_failed', 'Cannot make a datagram socket: the system refuses')
  return (message) => {
    const bytes = new TextEncoder().encode(message)
    const flags = MSG_NOSIGNAL_DONTWAIT
    const sent = libc.sendto(socket, bytes, bytes.length, flags, address, address.length)
    return Number(sent) === bytes.length
  }
}

/** sockaddr_un: the family, then the path; "@" stands for the byte 0 that begins an abstract name. */
function socketAddress(path: string): Uint8Array {
  const name = new TextEncoder().encode(path)
  const isPath = path.startsWith('/') || (path.startsWith('@') && name.length > 1)
  if (!isPath || name.length > PATH_BYTES_MAX) {
    const wanted = `expected "/PATH" or "@NAME" of at most ${PATH_BYTES_MAX} bytes`
    throw new EdgeError('config_invalid', `Cannot use NOTIFY_SOCKET="${path}": ${wanted}`)
  }
  const address = new Uint8Array(2 + name.length)
  address[0] = AF_UNIX
  address.set(name, 2)
  if (path.startsWith('@')) address[2] = 0
  return address
}
