/** A client that sends bytes as they are, and takes whatever comes back for HTTP or says why it is none. */
import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  /** The server has closed the connection, or said that it will. */
  readonly isLast: boolean
}

/** What became of a request: an answer, a closed connection without one, or nothing at all in the time there is. */
export type Outcome = Answer | 'closed' | 'silent'

/** One connection, made anew when it is gone. */
export class Line {
  readonly #at: { readonly host: string; readonly port: number }
  readonly #silentMs: number
  #socket: Socket | undefined

  constructor(at: { host: string; port: number }, silentMs: number) {
    this.#at = at
    this.#silentMs = silentMs
  }

  /** `isWhole`: false ends our side, so that a server which waits for more learns that nothing comes. */
  async exchange(bytes: Uint8Array, how: { isWhole: boolean; isHead: boolean }): Promise<Outcome> {
    const socket = this.#socket ?? connect({ ...this.#at, noDelay: true })
    this.#socket = socket
    const outcome = await this.#listen(socket, bytes, how)
    const mayStay = typeof outcome === 'object' && !outcome.isLast && how.isWhole
    if (!mayStay) this.drop()
    return outcome
  }

  drop(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #listen(socket: Socket, bytes: Uint8Array, how: { isWhole: boolean; isHead: boolean }): Promise<Outcome> {
    return new Promise((resolve) => {
      let came: Buffer = Buffer.alloc(0)
      const timer = setTimeout(() => finish('silent'), this.#silentMs)
      const finish = (outcome: Outcome) => {
        clearTimeout(timer)
        socket.removeAllListeners()
        // It may still fail, and nobody else listens.
        socket.on('error', () => undefined)
        resolve(outcome)
      }
      const onEnd = () => {
        const answer = readAnswer(came, { isHead: how.isHead, isOver: true })
        finish(answer === undefined ? 'closed' : { ...answer, isLast: true })
      }
      socket.on('data', (chunk: Buffer) => {
        came = came.length === 0 ? chunk : Buffer.concat([came, chunk])
        const answer = readAnswer(came, { isHead: how.isHead, isOver: false })
        if (answer !== undefined) finish(answer)
      })
      socket.on('error', onEnd)
      socket.on('close', onEnd)
      if (how.isWhole) socket.write(bytes)
      else socket.end(bytes)
    })
  }
}

/** Undefined while it is not whole. */
function readAnswer(bytes: Buffer, how: { isHead: boolean; isOver: boolean }): Answer | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? Number.NaN)
  const rest = bytes.subarray(end + 4)
  // An interim answer, after which the real one comes.
  if (status >= 100 && status < 200) return readAnswer(rest, how)
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    }),
  )
  const isLast = headers.get('connection')?.toLowerCase() === 'close'
  if (how.isHead || status === 204 || status === 304) return { status, headers, body: rest, isLast }
  const length = headers.get('content-length')
  if (length !== undefined) {
    const body = rest.subarray(0, Number(length))
    return body.length < Number(length) ? undefined : { status, headers, body, isLast }
  }
  if (headers.get('transfer-encoding') === 'chunked') {
    return rest.includes('0\r\n\r\n') ? { status, headers, body: rest, isLast: true } : undefined
  }
  return how.isOver ? { status, headers, body: rest, isLast: true } : undefined
}
