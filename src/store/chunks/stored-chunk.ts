import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { giveBack } from '../../kit/give-back.ts'
import { joinPlanes, splitPlanes } from './byte-planes.ts'
import { CHUNK_BYTES_MAX } from './limits.ts'

/**
 * A chunk as it lies in a pack and goes over the line. "plain" is the chunk itself; "zstd" is
 *
 *   u8 planes (1, 2 or 4) | one zstd frame for each byte plane
 *
 * The weights of a model look random but for their exponents. In a plane of its own the exponent's byte shrinks to a
 * third; each plane has a frame of its own because one table of symbols for all of them would gain nothing.
 */
export type Encoding = 'plain' | 'zstd'

export interface StoredChunk {
  readonly encoding: Encoding
  readonly bytes: Uint8Array
}

const PLANES = [1, 2, 4] as const
const LEVEL = 3
/** Unpacking has to earn its time, on the device. */
const SAVING_MIN = 0.03
/** No frame may ask for more memory than a chunk has: 2^17 bytes. */
const WINDOW_LOG_MAX = 17

/** The smallest of what was tried; the chunk as it is where nothing saves 3 %. */
export function encodeChunk(chunk: Uint8Array): StoredChunk {
  let best: StoredChunk = { encoding: 'plain', bytes: chunk }
  let bytesMax = Math.floor(chunk.length * (1 - SAVING_MIN))
  for (const planes of PLANES) {
    const bytes = compress(chunk, planes)
    if (bytes.length > bytesMax) continue
    best = { encoding: 'zstd', bytes }
    bytesMax = bytes.length - 1
  }
  return best
}

/**
 * The chunk of `length` bytes, or a refusal. Nothing here vouches for its content: its hash does, which the caller
 * compares. The memory taken is bounded by `length`, whatever the bytes say of themselves.
 */
export function decodeChunk({ encoding, bytes }: StoredChunk, length: number): Uint8Array {
  if (length < 1 || length > CHUNK_BYTES_MAX) {
    throw refusal(`its length is ${length}, expected 1 to ${CHUNK_BYTES_MAX}`)
  }
  if (bytes.length > length) throw refusal(`${bytes.length} stored bytes for a chunk of ${length}`)
  const plain = encoding === 'plain' ? bytes : decompress(bytes, length)
  if (plain.length !== length) throw refusal(`it holds ${plain.length} bytes, expected ${length}`)
  return plain
}

function compress(chunk: Uint8Array, planes: number): Uint8Array {
  const frames = splitPlanes(chunk, planes).map((plane) =>
    zstdCompressSync(plane, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } }),
  )
  return Buffer.concat([Uint8Array.of(planes), ...frames])
}

function decompress(bytes: Uint8Array, length: number): Uint8Array {
  const planes = bytes[0] ?? 0
  if (!PLANES.some((known) => known === planes)) throw refusal(`it has ${planes} planes, expected 1, 2 or 4`)
  try {
    const joined = zstdDecompressSync(bytes.subarray(1), {
      maxOutputLength: length,
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
    })
    const plain = joinPlanes(joined, planes)
    if (plain !== joined) giveBack(joined)
    return plain
  } catch (cause) {
    throw refusal(`it does not unpack to ${length} bytes: ${messageOf(cause)}`, cause)
  }
}

function refusal(what: string, cause?: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot unpack a chunk: ${what}`, { cause })
}
