/** A model that a registry holds, and a device's way of taking it as the agent does: each chunk is checked before it counts. */

import type { ChunkSource } from '../../src/link/chunk-source.ts'
import { type ChunkIndex, decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { packVersion, sha256Of, upload } from '../registry/publish.ts'
import { randomBytes } from './random-bytes.ts'
import type { RunningRegistry } from './registry.ts'

export interface HeldModel {
  readonly bytes: Uint8Array
  readonly index: string
  readonly chunks: ChunkIndex
  /** What has to come over the line for it. */
  readonly storedBytes: number
}

export async function holdModel(
  registry: RunningRegistry,
  options: { bytes: number; seed: number },
): Promise<HeldModel> {
  const bytes = randomBytes(options.bytes, options.seed)
  const packed = packVersion({
    model: 'vision/held',
    version: '1',
    release: 1,
    files: { 'model.onnx': bytes },
  })
  await upload(packed, (method, path, body) => registry.ask(method, path, body))
  const [index = new Uint8Array()] = packed.indexes
  const storedBytes = packed.packs.reduce((sum, pack) => sum + pack.length, 0)
  return { bytes, index: sha256Of(index), chunks: decodeChunkIndex(index), storedBytes }
}

/** One file on its way. What is wanted is all that it remembers. */
export class Taking {
  readonly wanted: Set<number>
  readonly file: Uint8Array
  readonly #model: HeldModel

  constructor(model: HeldModel) {
    this.#model = model
    this.wanted = new Set(Array(model.chunks.count).keys())
    this.file = new Uint8Array(model.bytes.length)
  }

  /** From one source, until all is here, so many chunks have come, or it fails. */
  async from(
    source: ChunkSource,
    options: { chunksMax?: number; signal?: AbortSignal; onChunk?: (count: number) => void } = {},
  ): Promise<void> {
    const { chunks, index } = this.#model
    const signal = options.signal ?? new AbortController().signal
    let came = 0
    while (this.wanted.size > 0) {
      const request = {
        index,
        wanted: [...this.wanted],
        length: (chunk: number) => chunks.length(chunk),
        signal,
      }
      for await (const { chunk, bytes } of source.fetch(request)) {
        // One that is wrong stays wanted.
        if (sha256Of(bytes) !== chunks.sha256(chunk)) continue
        this.file.set(bytes, chunks.offset(chunk))
        this.wanted.delete(chunk)
        came += 1
        options.onChunk?.(came)
        if (came === options.chunksMax) return
      }
    }
  }

  get isRight(): boolean {
    return this.wanted.size === 0 && Buffer.compare(this.file, this.#model.bytes) === 0
  }
}
