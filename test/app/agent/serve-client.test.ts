/** The data plane as the agent asks it: what it answers is judged, and that it is away is nobody's fault. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { ServeClient } from '../../../src/app/agent/serve-client.ts'
import { systemClock } from '../../../src/kit/clock.ts'
import { EdgeError } from '../../../src/kit/errors.ts'
import { createFolder } from '../../kit/binary.ts'
import { golden, writeGolden } from '../../kit/golden.ts'

let folder: Awaited<ReturnType<typeof createFolder>>
const AT = { model: 'vision/scale', version: '1', release: 1, manifest: 'a'.repeat(64) }
const GOLDEN = { path: 'golden', absolute: 1e-3, relative: 1e-3 }

beforeAll(async () => {
  folder = await createFolder()
  const tensor = (name: string) => golden(name, 'FP32', [1], [1])
  await writeGolden(folder.path, [{ inputs: [tensor('INPUT0')], outputs: [tensor('OUTPUT0')] }])
})
afterAll(() => folder.remove())

/** What comes of golden samples that are sent to a socket. */
async function replay(socket: string, signal = new AbortController().signal): Promise<unknown> {
  const client = new ServeClient({
    socket: join(folder.path, socket),
    basePath: '',
    headers: {},
    clock: systemClock,
    folder: () => folder.path,
  })
  return await client.replay(AT, GOLDEN, signal).catch((error: unknown) => error)
}

async function answering(socket: string, listen: Bun.SocketHandler, ask: () => Promise<unknown>) {
  const server = Bun.listen({ unix: join(folder.path, socket), socket: listen })
  try {
    return await ask()
  } finally {
    server.stop(true)
  }
}

const NOT_THERE = expect.objectContaining({ code: 'peer_failed' }) as unknown

test('golden samples for a process that is not there say nothing about the version', async () => {
  const came = await replay('nobody.sock')
  expect(came).toBeInstanceOf(EdgeError)
  expect(came).toEqual(NOT_THERE)
})

test('nor do those for one that ends while it is asked', async () => {
  const ending = { data: (socket: Bun.Socket) => void socket.terminate() }
  expect(await answering('ending.sock', ending, () => replay('ending.sock'))).toEqual(NOT_THERE)
})

test('nor those for one that ends in the middle of its answer', async () => {
  const cut = {
    data: (socket: Bun.Socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"outputs"')
      socket.end()
    },
  }
  expect(await answering('cut.sock', cut, () => replay('cut.sock'))).toEqual(NOT_THERE)
})

test('what is answered wrong is counted', async () => {
  const body = '{"error":"no such thing"}'
  const refusing = {
    data: (socket: Bun.Socket) => {
      socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    },
  }
  expect(await answering('refusing.sock', refusing, () => replay('refusing.sock'))).toEqual({
    samples: 1,
    wrong: 1,
    reason: `golden sample 0: answered 400: ${body}`,
  })
})

test('who stops is not answered with a fault of the other', async () => {
  const came = await replay('nobody.sock', AbortSignal.abort(new Error('stopped')))
  expect(came).toEqual(new Error('stopped'))
})
