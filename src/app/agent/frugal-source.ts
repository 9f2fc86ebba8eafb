import { giveBack } from '../../kit/give-back.ts'
import type { ChunkSource } from '../../store/download.ts'

/** So much may have come before the collector is told to look for what it has left behind. */
const COLLECT_BYTES = 8 * 1024 ** 2

/**
 * Keeps a download from growing the process: a chunk is good until the next one is asked for, then its memory goes. What
 * the line's own libraries leave lies outside of the collector's heap as well, so that it sees no reason to begin.
 */
export function frugal(source: ChunkSource): ChunkSource {
  // The first chunk is enough: where thousands of chunks lie has been read by then.
  let uncollectedBytes = COLLECT_BYTES
  return {
    name: source.name,
    async *fetch(request) {
      for await (const fetched of source.fetch(request)) {
        uncollectedBytes += fetched.bytes.byteLength
        yield fetched
        giveBack(fetched.bytes)
        if (uncollectedBytes < COLLECT_BYTES) continue
        uncollectedBytes = 0
        Bun.gc(true)
      }
    },
  }
}
