import { dlopen } from 'bun:ffi'
import { afterAll, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { boundReceiving } from '../../src/runtime/receive-buffer.ts'

const SOL_SOCKET = 1
const SO_RCVBUF = 8
const SO_ACCEPTCONN = 30
const BYTES = 40_000

const libc = dlopen('libc.so.6', {
  getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
}).symbols

function optionOf(fd: number, option: number): number | undefined {
  const value = new Int32Array(1)
  return libc.getsockopt(fd, SOL_SOCKET, option, value, Uint32Array.of(4)) === 0 ? value[0] : undefined
}

/** What the kernel keeps for each socket of this process that is connected, or for those that listen. */
function receiveBytes(isListening: 0 | 1): number[] {
  const sockets = readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => optionOf(fd, SO_ACCEPTCONN) === isListening)
  return sockets.map((fd) => optionOf(fd, SO_RCVBUF) ?? 0)
}

const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('here') })
const other = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('there') })
const clients: Socket[] = []
afterAll(async () => {
  for (const client of clients) client.destroy()
  await Promise.all([server.stop(true), other.stop(true)])
})

test('holds for the connections of a port, and for those of no other', async () => {
  expect(boundReceiving(server.port ?? 0, BYTES)).toBe(1)
  for (const { port } of [server, other]) {
    const client = connect({ host: '127.0.0.1', port: port ?? 0 })
    clients.push(client)
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const [answer] = await Promise.race([
      new Promise<Buffer[]>((resolve) => client.once('data', (data: Buffer) => resolve([data]))),
      new Promise<never>((_, reject) => client.once('error', reject)),
    ])
    expect(answer?.toString()).toStartWith('HTTP/1.1 200')
  }
  // The kernel keeps as much again for its own books.
  const isBound = (bytes: number) => bytes === 2 * BYTES
  expect(receiveBytes(1).filter(isBound)).toHaveLength(1)
  expect(receiveBytes(0).filter(isBound)).toHaveLength(1)
})

test('a port that nobody here listens on has none', () => {
  expect(boundReceiving(1)).toBe(0)
})
