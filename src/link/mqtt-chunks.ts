import type { ChunkRequest, ChunkSource, DecodeChunk, FetchedChunk } from './chunk-source.ts'
import { ChunkTransfer } from './chunk-transfer.ts'
import type { Exchange } from './exchange.ts'
import type { OpenLine } from './line.ts'
import type { Parts } from './parts.ts'
import type { TokenBucket } from './token-bucket.ts'

export interface MqttChunkParts {
  readonly exchange: Exchange
  /** Waits a while for one; throws where there is none then. */
  readonly line: (signal: AbortSignal) => Promise<OpenLine>
  /** What one frame may have on this line. */
  readonly frameBytes: (line: OpenLine) => number
  readonly bucket: TokenBucket
  readonly decode: DecodeChunk
}

/** Chunks that had begun to come when a line broke: of one index, cut for one size of frames. */
interface Begun {
  readonly index: string
  readonly frameBytes: number
  readonly chunks: Map<number, Parts>
}

/** Chunks over MQTT. What had come of a chunk when the line broke is kept for the next line. */
export class MqttChunks implements ChunkSource {
  readonly name = 'mqtt'
  readonly #parts: MqttChunkParts
  #begun: Begun | undefined

  constructor(parts: MqttChunkParts) {
    this.#parts = parts
  }

  async *fetch(request: ChunkRequest): AsyncGenerator<FetchedChunk> {
    const line = await this.#parts.line(request.signal)
    const frameBytes = this.#parts.frameBytes(line)
    const transfer = new ChunkTransfer({
      ...this.#parts,
      line,
      frameBytes,
      request,
      begun: this.#goOn(request, frameBytes),
    })
    try {
      yield* transfer.run()
    } finally {
      transfer.stop()
    }
  }

  #goOn({ index, wanted }: ChunkRequest, frameBytes: number): Map<number, Parts> {
    const before = this.#begun
    const fits = before?.index === index && before.frameBytes === frameBytes
    const stillWanted = new Set(wanted)
    const chunks = new Map(fits ? [...before.chunks].filter(([chunk]) => stillWanted.has(chunk)) : [])
    this.#begun = { index, frameBytes, chunks }
    return chunks
  }
}
