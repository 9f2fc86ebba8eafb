import { lstat, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Server } from 'bun'
import { EdgeError, messageOf } from '../kit/errors.ts'

type Handle = (request: Request) => Response | Promise<Response>

/** A connection may be silent this long: a long run looks just like that. Bun's most. */
const IDLE_SECONDS_MAX = 255

/** The group may connect, others may not. */
const SOCKET_UMASK = 0o117

/** Our limit answers with words; Bun's would close the connection without any before ours is asked. */
const BODY_BYTES_MAX = Number.MAX_SAFE_INTEGER

interface Address {
  readonly hostname: string
  readonly port: number
  /** As PEM; without it, it is plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

export function listenTcp(at: Address, handle: Handle): Server<undefined> {
  try {
    return Bun.serve({
      ...at,
      idleTimeout: IDLE_SECONDS_MAX,
      maxRequestBodySize: BODY_BYTES_MAX,
      fetch: withHost(handle),
    })
  } catch (cause) {
    throw new EdgeError(
      'config_invalid',
      `Cannot listen on ${at.hostname}:${at.port}: ${messageOf(cause)}; choose another with --port or http.port, 0 for any`,
      { cause },
    )
  }
}

/** HTTP/1.0 asks without saying whom, as some health checks do: then Bun gives the path alone, which is no URL. */
function withHost(handle: Handle): Handle {
  return (request) => {
    const { url } = request
    return handle(url.startsWith('/') ? new Request(`http://localhost${url}`, request) : request)
  }
}

/** A socket file that a killed server has left behind is replaced; one that somebody answers on is not. */
export async function listenUnix(path: string, handle: Handle): Promise<Server<undefined>> {
  await removeStale(path)
  // Set around the making of it: changed afterwards, it would be open to all for a moment.
  const umask = process.umask(SOCKET_UMASK)
  try {
    const options = { unix: path, maxRequestBodySize: BODY_BYTES_MAX, fetch: withHost(handle) }
    // NOTE: Bun's types do not know it for a socket, but without it a run ends after ten seconds (seen with 1.4.5).
    Object.assign(options, { idleTimeout: IDLE_SECONDS_MAX })
    return Bun.serve(options)
  } catch (cause) {
    throw refuse(path, messageOf(cause), cause)
  } finally {
    process.umask(umask)
  }
}

async function removeStale(path: string): Promise<void> {
  const file = await lstat(path).catch(() => undefined)
  if (file === undefined) return
  if (!file.isSocket()) throw refuse(path, 'there is a file that is no socket')
  if (await isAnswering(path)) throw refuse(path, 'another process answers on it')
  await rm(path, { force: true })
}

/** Only a refusal says that nobody is there: whatever else goes wrong, somebody may be. */
function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

function refuse(path: string, what: string, cause?: unknown): EdgeError {
  return new EdgeError(
    'config_invalid',
    `Cannot listen on the socket "${path}": ${what}; choose another path with http.unix_socket`,
    { cause },
  )
}
