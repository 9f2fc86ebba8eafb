import { EdgeError } from '../kit/errors.ts'
import { sha256Of } from '../store/chunks/chunk-file.ts'
import type { ChunkIndex } from '../store/chunks/chunk-index.ts'
import { decodeChunk, type StoredChunk } from '../store/chunks/stored-chunk.ts'
import type { Place, RegistryClient } from './registry-client.ts'

export interface VerifiedChunk {
  readonly number: number
  readonly sha256: string
  /** The chunk itself. */
  readonly bytes: Uint8Array
  readonly stored: StoredChunk
}

/** What lies side by side in a pack is asked for at once, up to so much. */
const RANGE_BYTES_MAX = 4 * 1024 * 1024

type Found = { readonly number: number; readonly place: Place }

/** All chunks of a file from a registry, each held against its hash. */
export async function* fetchChunks(
  registry: RegistryClient,
  { name, index }: { name: string; index: ChunkIndex },
): AsyncGenerator<VerifiedChunk> {
  const places = await registry.places(name)
  const found = Array.from({ length: index.count }, (_, number): Found => {
    const place = places[number]
    if (place) return { number, place }
    throw new EdgeError(
      'peer_failed',
      `Cannot fetch chunk ${number} of ${name}: the registry does not have it`,
    )
  })
  for (const run of runsOf(found)) {
    const start = run[0]?.place.offset ?? 0
    const last = run.at(-1)?.place
    const end = (last?.offset ?? 0) + (last?.stored_bytes ?? 0)
    const bytes = await registry.fetchRange(run[0]?.place.pack ?? '', { start, end })
    for (const { number, place } of run) {
      const at = place.offset - start
      const stored = { encoding: place.encoding, bytes: bytes.subarray(at, at + place.stored_bytes) }
      yield verify(stored, { number, index, name })
    }
  }
}

function verify(
  stored: StoredChunk,
  { number, index, name }: { number: number; index: ChunkIndex; name: string },
): VerifiedChunk {
  const bytes = decodeChunk(stored, index.length(number))
  const sha256 = sha256Of(bytes)
  if (sha256 === index.sha256(number)) return { number, sha256, bytes, stored }
  throw new EdgeError(
    'peer_failed',
    `Cannot take chunk ${number} of ${name}: it hashes to ${sha256}, signed was ${index.sha256(number)}`,
  )
}

/** In the order of the file. */
function runsOf(found: readonly Found[]): Found[][] {
  const runs: Found[][] = []
  for (const each of found) {
    const run = runs.at(-1)
    const last = run?.at(-1)?.place
    const begin = run?.[0]?.place.offset ?? 0
    const { pack, offset, stored_bytes } = each.place
    const isNext =
      last?.pack === pack &&
      last.offset + last.stored_bytes === offset &&
      offset + stored_bytes - begin <= RANGE_BYTES_MAX
    if (isNext) run?.push(each)
    else runs.push([each])
  }
  return runs
}
