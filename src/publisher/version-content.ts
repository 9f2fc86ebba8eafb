import { createHash } from 'node:crypto'
import { EdgeError } from '../kit/errors.ts'
import { sha256Of } from '../store/chunks/chunk-file.ts'
import { decodeChunkIndex } from '../store/chunks/chunk-index.ts'
import { OBJECT_BYTES_MAX } from '../store/chunks/limits.ts'
import { type ListedManifest, type Manifest, readManifest } from '../trust/manifest.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { fetchChunks, type VerifiedChunk } from './registry-chunks.ts'
import type { RegistryClient } from './registry-client.ts'

/** A published version, fetched and verified from the signed manifest down to every byte. */
export class VersionContent {
  readonly manifest: Manifest
  readonly manifestBytes: Uint8Array
  readonly #registry: RegistryClient

  private constructor(registry: RegistryClient, parts: { manifest: Manifest; manifestBytes: Uint8Array }) {
    this.#registry = registry
    this.manifest = parts.manifest
    this.manifestBytes = parts.manifestBytes
  }

  static async fetch(registry: RegistryClient, listed: ListedManifest): Promise<VersionContent> {
    const manifestBytes = await fetchObject(registry, { sha256: listed.sha256, bytesMax: listed.bytes })
    return new VersionContent(registry, { manifest: readManifest(manifestBytes, listed), manifestBytes })
  }

  /** Chunk indexes of all variants, each once, with the chunks of the file that it describes; the file is hashed too. */
  async *files(): AsyncGenerator<{
    readonly path: string
    readonly bytes: number
    readonly index: Uint8Array
    readonly chunks: AsyncIterable<VerifiedChunk>
  }> {
    const seen = new Set<string>()
    for (const file of this.manifest.variants.flatMap(({ files }) => files)) {
      if (seen.has(file.chunk_index)) continue
      seen.add(file.chunk_index)
      const { chunk_index: name, bytes } = file
      const index = await fetchObject(this.#registry, { sha256: name, bytesMax: OBJECT_BYTES_MAX })
      const chunks = fetchChunks(this.#registry, {
        name,
        index: decodeChunkIndex(index, { fileBytes: bytes }),
      })
      yield { path: file.path, bytes, index, chunks: wholeFile(chunks, file) }
    }
  }
}

async function* wholeFile(
  chunks: AsyncIterable<VerifiedChunk>,
  file: { readonly path: string; readonly sha256: string },
): AsyncGenerator<VerifiedChunk> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) {
    hash.update(chunk.bytes)
    yield chunk
  }
  const sha256 = hash.digest('hex')
  if (sha256 === file.sha256) return
  throw new TrustRefusal(
    'object_tampered',
    `Cannot take "${file.path}": its chunks make a file of the hash ${sha256}, signed was ${file.sha256}`,
  )
}

async function fetchObject(
  registry: RegistryClient,
  { sha256, bytesMax }: { sha256: string; bytesMax: number },
): Promise<Uint8Array> {
  const bytes = await registry.fetchObject(sha256, bytesMax)
  if (bytes === undefined)
    throw new EdgeError('peer_failed', `Cannot find the object ${sha256}: the registry does not have it`)
  if (sha256Of(bytes) === sha256) return bytes
  throw new TrustRefusal(
    'object_tampered',
    `Cannot take the object ${sha256}: it hashes to ${sha256Of(bytes)}`,
  )
}
