import { EdgeError, messageOf } from '../kit/errors.ts'
import { readBounded } from './bounded.ts'
import { quote } from './text.ts'

const MEBIBYTE = 1024 ** 2
const FILE_BYTES_MAX = 256 * MEBIBYTE

/** What a person named on the command line, read. */
export interface SourceFile {
  readonly name: string
  readonly kind: 'image' | 'audio' | 'json'
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** `-` stands for JSON from standard input. */
export async function readSource(path: string, stdin: () => ReadableStream<Uint8Array>): Promise<SourceFile> {
  if (path === '-') return { name: 'standard input', kind: 'json', bytes: await readAll(path, stdin()) }
  const bytes = await readAll(path, Bun.file(path).stream())
  return { name: path, kind: recogniseKind(path, bytes), bytes }
}

async function readAll(path: string, stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer> | undefined
  try {
    bytes = await readBounded(stream, FILE_BYTES_MAX)
  } catch (cause) {
    throw unreadable(path, cause)
  }
  if (bytes !== undefined) return bytes
  const mebibytes = FILE_BYTES_MAX / MEBIBYTE
  throw new EdgeError('input_invalid', `Cannot read ${quote(path)}: it is larger than ${mebibytes} MiB`)
}

function unreadable(path: string, cause: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot read ${quote(path)}: ${messageOf(cause)}`, { cause })
}

/** First bytes, as `file` would look at them; a dot stands for any byte. */
const SIGNATURES = [
  { kind: 'image', start: /^\x89PNG/ },
  { kind: 'image', start: /^\xff\xd8\xff/ },
  { kind: 'image', start: /^RIFF....WEBP/s },
  { kind: 'image', start: /^BM/ },
  { kind: 'image', start: /^GIF8/ },
  { kind: 'audio', start: /^RIFF....WAVE/s },
] as const

function recogniseKind(path: string, bytes: Uint8Array): SourceFile['kind'] {
  if (path.toLowerCase().endsWith('.json')) return 'json'
  const start = String.fromCharCode(...bytes.subarray(0, 12))
  const found = SIGNATURES.find((signature) => signature.start.test(start))
  if (found !== undefined) return found.kind
  throw new EdgeError(
    'input_invalid',
    `Cannot use ${quote(path)}: it is not a PNG, JPEG, WebP, BMP, GIF or WAV file, and its name does not end in ` +
      '.json; convert it first',
  )
}
