/** Versions of models made up for tests, with the objects and chunks that a registry would have of them. */
import { chunkBytes, sha256Of } from '../../src/store/chunks/chunk-file.ts'
import { encodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import type { ChunkSource } from '../../src/store/download.ts'
import type { Package } from '../../src/store/package.ts'
import { encodeManifest } from '../../src/trust/manifest.ts'

export interface StagedPackage {
  readonly of: Package
  readonly manifest: Uint8Array
  readonly files: Readonly<Record<string, Uint8Array>>
}

/** What has been published: objects and plain chunks by their hashes. */
export class FakeRegistry {
  readonly objects = new Map<string, Uint8Array>()
  readonly chunks = new Map<string, Uint8Array>()
  /** Bytes of chunks given away so far. */
  givenBytes = 0

  publish(version: {
    model?: string
    version: string
    release?: number
    files: Readonly<Record<string, Uint8Array>>
  }): StagedPackage {
    const files = Object.entries(version.files).map(([path, bytes]) => {
      const chunks = [...chunkBytes(bytes)].map((chunk) => {
        const sha256 = sha256Of(chunk.bytes)
        this.chunks.set(sha256, Uint8Array.from(chunk.bytes))
        return { length: chunk.bytes.length, sha256 }
      })
      const index = encodeChunkIndex(chunks)
      this.objects.set(sha256Of(index), index)
      return { path, bytes: bytes.length, sha256: sha256Of(bytes), chunk_index: sha256Of(index) }
    })
    const tensors = [{ name: 'x', datatype: 'FP32', shape: [-1] }]
    const model = version.model ?? 'vision/yolo'
    const manifest = encodeManifest({
      format: 1,
      model,
      version: version.version,
      release: version.release ?? 1,
      variants: [
        {
          name: 'fp32',
          hardware: ['any'],
          providers: ['cpu'],
          needs: { memory_mb: 1, disk_mb: 1 },
          files,
        },
      ],
      signature: { inputs: tensors, outputs: tensors },
    })
    const of = { model, version: version.version, manifest: sha256Of(manifest), files }
    return { of, manifest, files: version.files }
  }

  readonly fetchObject = async (sha256: string): Promise<Uint8Array | undefined> => this.objects.get(sha256)

  /** Gives every wanted chunk, as `change` would have it. */
  source(change: (bytes: Uint8Array, chunk: number) => Uint8Array = (bytes) => bytes): ChunkSource {
    const give = (bytes: Uint8Array, chunk: number) => {
      this.givenBytes += bytes.length
      return { chunk, bytes: change(bytes, chunk) }
    }
    const { objects, chunks } = this
    return {
      name: 'fake',
      async *fetch({ index, wanted }) {
        const entries = Buffer.from(objects.get(index) ?? [])
        for (const chunk of wanted) {
          const sha256 = entries.toString('hex', 4 + chunk * 35 + 3, 4 + chunk * 35 + 35)
          yield give(chunks.get(sha256) ?? new Uint8Array(0), chunk)
        }
      },
    }
  }
}
