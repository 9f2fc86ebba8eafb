import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip, type InputType, inflate } from 'node:zlib'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** Told of bytes before they are kept, as far as that can be known; may refuse. */
type Hold = (bytes: number) => void

/** The body, decompressed. Never more than `bytesMax`, whatever the headers say. */
export async function readBody(
  request: Request,
  bytesMax: number,
  hold: Hold = () => undefined,
  /** Where the limit comes from, for whoever meets it. */
  limit = 'http.body_bytes_max',
): Promise<ArrayBuffer> {
  const tooLarge = (came: string) => refuseSize(came, bytesMax, limit)
  const announced = request.headers.get('content-length')
  if (announced !== null && Number(announced) > bytesMax) throw tooLarge(`${announced} bytes`)
  if (announced !== null) hold(Number(announced))
  let raw: ArrayBuffer
  try {
    // Where the length has been announced, the server holds the client to it.
    if (announced !== null) raw = await request.arrayBuffer()
    else raw = await readStream(request.body, { bytesMax, hold, tooLarge })
  } catch (cause) {
    if (!request.signal.aborted || cause instanceof EdgeError) throw cause
    throw new EdgeError('cancelled', 'Cannot read the body: the client has gone away', { cause })
  }
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (encoding === 'identity') return raw
  const whole = await decompress(raw, { encoding, bytesMax, tooLarge })
  hold(whole.byteLength)
  return whole
}

/** From here on giving memory back by hand is worth more than it costs. */
const FREED_BYTES_MIN = 32_768

/**
 * Gives a body's memory back at once, where nothing reads it any more: views over it are empty from here on. Left to the
 * garbage collector, images of hundreds of requests lie about, and each new one goes to pages that have to be made first.
 */
export function freeBody(body: ArrayBuffer): void {
  // One that has gone to another thread is detached already.
  if (body.byteLength >= FREED_BYTES_MIN) body.transfer(0)
}

interface Limit {
  readonly bytesMax: number
  readonly tooLarge: (came: string) => EdgeError
  readonly hold: Hold
}

/** Without a Content-Length (chunked, or no body at all) the length shows only as it arrives. */
async function readStream(
  body: ReadableStream<Uint8Array> | null,
  { bytesMax, hold, tooLarge }: Limit,
): Promise<ArrayBuffer> {
  if (body === null) return new ArrayBuffer(0)
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooLarge(`more than ${bytesMax} bytes`)
    hold(chunk.byteLength)
    chunks.push(chunk)
  }
  return await join(chunks, bytes)
}

/** Some milliseconds' worth; after so much others get their turn. */
const JOINED_AT_ONCE_MAX = 8 * 1024 ** 2

async function join(chunks: readonly Uint8Array[], bytes: number): Promise<ArrayBuffer> {
  const whole = new ArrayBuffer(bytes)
  const view = new Uint8Array(whole)
  let at = 0
  let pausedAt = 0
  for (const chunk of chunks) {
    view.set(chunk, at)
    at += chunk.byteLength
    if (at - pausedAt < JOINED_AT_ONCE_MAX) continue
    pausedAt = at
    await setImmediate()
  }
  return whole
}

type Decompress = (bytes: InputType, options: { maxOutputLength: number }) => Promise<Buffer>
/** HTTP's "deflate" is the zlib format (RFC 9110, 8.4.1.2). */
const DECOMPRESS: ReadonlyMap<string, Decompress> = new Map([
  ['gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
])

async function decompress(
  raw: ArrayBuffer,
  how: { encoding: string } & Omit<Limit, 'hold'>,
): Promise<ArrayBuffer> {
  const run = DECOMPRESS.get(how.encoding)
  if (run === undefined) {
    throw new EdgeError(
      'encoding_unsupported',
      `Cannot read the body: Content-Encoding is "${how.encoding}", expected gzip or deflate`,
    )
  }
  try {
    // A limit of the library, so that a small bomb never becomes a large buffer.
    const buffer = await run(raw, { maxOutputLength: how.bytesMax })
    return wholeBuffer(buffer)
  } catch (cause) {
    if (cause instanceof RangeError) throw how.tooLarge(`more than ${how.bytesMax} bytes decompressed`)
    throw new EdgeError(
      'input_invalid',
      `Cannot decompress the body as ${how.encoding}: ${messageOf(cause)}`,
      { cause },
    )
  }
}

/** Without a copy, where nothing else lies in it. */
function wholeBuffer({ buffer, byteOffset, byteLength }: Buffer): ArrayBuffer {
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) return buffer
  return new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength)).buffer
}

function refuseSize(came: string, bytesMax: number, limit: string): EdgeError {
  return new EdgeError('body_too_large', `Cannot read the body: ${came}, at most ${bytesMax} (${limit})`)
}
