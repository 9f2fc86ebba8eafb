import { afterAll, describe, expect, test } from 'bun:test'
import { copyFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { listenTcp, listenUnix } from '../../src/app/listen.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

const nextPath = () => join(folder.path, `${crypto.randomUUID()}.sock`)
const answer = async (path: string) => await (await fetch('http://limpet/', { unix: path })).text()

/** What is answered to these bytes, until the other side is done. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('data', (more) => {
      heard += String(more)
    })
    socket.on('end', () => resolve(heard))
    socket.on('error', reject)
  })
}

test('a request of HTTP/1.0, which may not say whom it asks, is one like any other', async () => {
  const server = listenTcp({ hostname: '127.0.0.1', port: 0 }, async (request) => {
    const { pathname, search } = new URL(request.url)
    return new Response([request.method, pathname, search, await request.text()].join(' '))
  })
  try {
    const port = server.port ?? 0
    expect(await exchange(port, 'GET /v2/health/live?a=1 HTTP/1.0\r\n\r\n')).toEndWith(
      '\r\n\r\nGET /v2/health/live ?a=1 ',
    )
    const post = 'POST /v2/models/a/infer HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody'
    expect(await exchange(port, post)).toEndWith('\r\n\r\nPOST /v2/models/a/infer  body')
  } finally {
    await server.stop(true)
  }
})

describe('a socket in the file system', () => {
  test('answers, is for owner and group only, and goes with the server', async () => {
    const path = nextPath()
    const umask = process.umask(0)
    const server = await listenUnix(path, () => new Response('here'))
    expect(process.umask(umask)).toBe(0)
    expect(await answer(path)).toBe('here')
    expect((await stat(path)).mode & 0o777).toBe(0o660)
    await server.stop(true)
    await expect(stat(path)).rejects.toThrow('ENOENT')
  })

  test('one that a killed process left behind is replaced', async () => {
    const path = nextPath()
    const code = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response() }); process.kill(process.pid, 'SIGKILL')`
    await Bun.spawn([process.execPath, '-e', code]).exited
    expect((await stat(path)).isSocket()).toBe(true)
    const server = await listenUnix(path, () => new Response('new'))
    expect(await answer(path)).toBe('new')
    await server.stop(true)
  })

  test('one that is answered on is left to its owner', async () => {
    const path = nextPath()
    const first = await listenUnix(path, () => new Response('first'))
    await expect(listenUnix(path, () => new Response('second'))).rejects.toThrow(
      'another process answers on it',
    )
    expect(await answer(path)).toBe('first')
    await first.stop(true)
  })

  test('a file of another kind is left alone', async () => {
    const path = nextPath()
    await copyFile(import.meta.path, path)
    await expect(listenUnix(path, () => new Response())).rejects.toThrow('there is a file that is no socket')
    expect((await stat(path)).isFile()).toBe(true)
  })

  test('a folder that is not there is named', async () => {
    const path = join(folder.path, 'nowhere', 'limpet.sock')
    await expect(listenUnix(path, () => new Response())).rejects.toThrow(
      `Cannot listen on the socket "${path}"`,
    )
  })
})
