import { createHash } from 'node:crypto'
import { CHUNK_BYTES_MIN } from './limits.ts'

/**
 * Content-defined cuts by a gear hash (FastCDC's): where to cut depends on the 32 bytes before the cut and on nothing
 * else, so that what is inserted or removed moves the cuts around it and no others.
 */
const WINDOW_BYTES = 32

/** How large the pieces become: `bytesMin`, and on average 2^`cutBits` more, where the content says so. */
export interface Grain {
  readonly bytesMin: number
  readonly cutBits: number
}

/** Of weights: 64 KiB and a little more on average. */
const COARSE: Grain = { bytesMin: CHUNK_BYTES_MIN, cutBits: 16 }

/** Of each byte, the first 32 bits of its SHA-256: nothing up the sleeve, and the same everywhere. */
export const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash('sha256').update(Uint8Array.of(byte)).digest().readInt32BE(),
)

/** Where the chunk ends that begins at `from`: at `end`, or where the content says so before. */
export function findCut(bytes: Uint8Array, from: number, end: number, grain = COARSE): number {
  const first = from + grain.bytesMin
  if (first >= end) return end
  const shift = 32 - grain.cutBits
  let hash = 0
  for (let at = first - WINDOW_BYTES; at < first; at++) hash = ((hash << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0
  for (let at = first; at < end; at++) {
    // The upper bits: they depend on the whole window, the lower ones on its last bytes alone.
    if (hash >>> shift === 0) return at
    hash = ((hash << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0
  }
  return end
}
