import { open } from 'node:fs/promises'
import { assert } from '../../kit/assert.ts'
import { EdgeError } from '../../kit/errors.ts'
import { sha256Of } from './chunk-file.ts'
import { CHUNK_BYTES_MAX, PACK_BYTES_MAX } from './limits.ts'
import type { Encoding, StoredChunk } from './stored-chunk.ts'

/**
 * Many stored chunks in one file that never changes, addressed by its own hash:
 *
 *   "LPK1" | the stored chunks, one after the other | the table | u32 entries | "LPT1"
 *   entry: 32 bytes SHA-256 of the plain chunk | u24 its length | u24 stored bytes | u8 encoding (0 plain, 1 zstd)
 *
 * Numbers are big-endian. Offsets are not written: the chunks lie side by side, in the order of the table.
 */
const HEAD = Buffer.from('LPK1')
const TAIL = Buffer.from('LPT1')
const FOOTER_BYTES = 4 + TAIL.length
const ENTRY_BYTES = 32 + 3 + 3 + 1
const ENCODINGS: readonly Encoding[] = ['plain', 'zstd']

export interface PackEntry {
  /** Of the plain chunk, lower-case hex. */
  readonly sha256: string
  readonly length: number
  /** Where it lies in the pack. */
  readonly offset: number
  readonly storedBytes: number
  readonly encoding: Encoding
}

/** Collects chunks in memory until the pack is full. */
export class PackWriter {
  readonly #bytesMax: number
  readonly #parts: Uint8Array[] = [HEAD]
  readonly #entries = new Map<string, PackEntry>()
  #bytes = HEAD.length + FOOTER_BYTES
  #offset = HEAD.length

  constructor(bytesMax = PACK_BYTES_MAX) {
    assert(bytesMax <= PACK_BYTES_MAX, 'a pack is not larger than a pack may be')
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#entries.size
  }

  /** False when it does not fit any more. A chunk that is in already takes no room. */
  add(chunk: { readonly sha256: string; readonly length: number; readonly stored: StoredChunk }): boolean {
    if (this.#entries.has(chunk.sha256)) return true
    const { encoding, bytes } = chunk.stored
    if (this.#bytes + bytes.length + ENTRY_BYTES > this.#bytesMax) return false
    const { sha256, length } = chunk
    this.#entries.set(sha256, { sha256, length, offset: this.#offset, storedBytes: bytes.length, encoding })
    // Copied: what is given may be a view of a buffer that is used again.
    this.#parts.push(Uint8Array.from(bytes))
    this.#offset += bytes.length
    this.#bytes += bytes.length + ENTRY_BYTES
    return true
  }

  finish(): { readonly sha256: string; readonly bytes: Uint8Array } {
    const footer = Buffer.alloc(FOOTER_BYTES)
    footer.writeUInt32BE(this.#entries.size)
    TAIL.copy(footer, 4)
    const bytes = Buffer.concat([...this.#parts, ...[...this.#entries.values()].map(encodeEntry), footer])
    return { sha256: sha256Of(bytes), bytes }
  }
}

/** What is in the pack file at `path`. Reads its table only: no chunk in it has been looked at. */
export async function readPackTable(path: string): Promise<PackEntry[]> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    checkSize(size)
    const read = async (offset: number, length: number) =>
      (await file.read(Buffer.alloc(length), 0, length, offset)).buffer
    const head = await read(0, HEAD.length)
    const tableBytes = readFooter(await read(size - FOOTER_BYTES, FOOTER_BYTES), size)
    return decodeTable({ head, table: await read(size - FOOTER_BYTES - tableBytes, tableBytes), size })
  } finally {
    await file.close()
  }
}

/** The same for a pack in memory. */
export function decodePackTable(pack: Uint8Array): PackEntry[] {
  const size = pack.length
  checkSize(size)
  const view = Buffer.from(pack.buffer, pack.byteOffset, size)
  const tableBytes = readFooter(view.subarray(size - FOOTER_BYTES), size)
  const table = view.subarray(size - FOOTER_BYTES - tableBytes, size - FOOTER_BYTES)
  return decodeTable({ head: view.subarray(0, HEAD.length), table, size })
}

function encodeEntry({ sha256, length, storedBytes, encoding }: PackEntry): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES)
  entry.write(sha256, 'hex')
  entry.writeUIntBE(length, 32, 3)
  entry.writeUIntBE(storedBytes, 35, 3)
  entry.writeUInt8(ENCODINGS.indexOf(encoding), 38)
  return entry
}

function checkSize(size: number): void {
  const least = HEAD.length + FOOTER_BYTES
  if (size >= least && size <= PACK_BYTES_MAX) return
  throw refusal(`it has ${size} bytes, expected ${least} to ${PACK_BYTES_MAX}`)
}

/** How many bytes the table has, which lies before the footer. */
function readFooter(footer: Buffer, size: number): number {
  if (!footer.subarray(4).equals(TAIL)) throw refusal(`it does not end with "${TAIL}"`)
  const bytes = footer.readUInt32BE(0) * ENTRY_BYTES
  if (HEAD.length + bytes + FOOTER_BYTES <= size) return bytes
  throw refusal(`its table has ${bytes / ENTRY_BYTES} entries, more than fit into ${size} bytes`)
}

function decodeTable({ head, table, size }: { head: Buffer; table: Buffer; size: number }): PackEntry[] {
  if (!head.equals(HEAD)) throw refusal(`it does not begin with "${HEAD}"`)
  const entries: PackEntry[] = []
  const seen = new Set<string>()
  let offset = HEAD.length
  for (let at = 0; at < table.length; at += ENTRY_BYTES) {
    const entry = decodeEntry(table.subarray(at, at + ENTRY_BYTES), offset)
    if (seen.has(entry.sha256)) throw refusal(`the chunk ${entry.sha256} is in it twice`)
    seen.add(entry.sha256)
    entries.push(entry)
    offset += entry.storedBytes
  }
  const chunksEnd = size - FOOTER_BYTES - table.length
  if (offset === chunksEnd) return entries
  throw refusal(`its chunks end at ${offset}, its table begins at ${chunksEnd}`)
}

function decodeEntry(bytes: Buffer, offset: number): PackEntry {
  const sha256 = bytes.toString('hex', 0, 32)
  const length = bytes.readUIntBE(32, 3)
  const storedBytes = bytes.readUIntBE(35, 3)
  const encoding = ENCODINGS[bytes.readUInt8(38)]
  if (encoding === undefined)
    throw refusal(`the chunk ${sha256} has the encoding ${bytes[38]}, expected 0 or 1`)
  if (length < 1 || length > CHUNK_BYTES_MAX) {
    throw refusal(`the chunk ${sha256} has ${length} bytes, expected 1 to ${CHUNK_BYTES_MAX}`)
  }
  const isFit = encoding === 'plain' ? storedBytes === length : storedBytes >= 1 && storedBytes < length
  if (isFit) return { sha256, length, offset, storedBytes, encoding }
  throw refusal(`the chunk ${sha256} of ${length} bytes is stored as ${storedBytes}, ${encoding}`)
}

function refusal(what: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot read a pack: ${what}`)
}
