/** Chunks over a line that loses, doubles, reorders and spoils frames: the registry's real answers, a device's real questions. */
import { describe, expect, test } from 'bun:test'
import { Exchange } from '../../src/link/exchange.ts'
import { decodeFrame, encodeFrame } from '../../src/link/frame.ts'
import type { OpenLine } from '../../src/link/line.ts'
import { decodeMessage, Request } from '../../src/link/messages.ts'
import { MqttChunks } from '../../src/link/mqtt-chunks.ts'
import { TokenBucket } from '../../src/link/token-bucket.ts'
import { Topics } from '../../src/link/topics.ts'
import { type AnswerSources, answer } from '../../src/registry/answers.ts'
import type { ChunkReader } from '../../src/registry/chunk-reader.ts'
import { decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { decodeChunk, encodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { createDraw } from '../kit/chaos-proxy.ts'
import { HastyClock } from '../kit/hasty-clock.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'
import { packVersion, sha256Of } from '../registry/publish.ts'

const model = Buffer.concat([randomBytes(1_500_000, SEED), Buffer.alloc(300_000, 'weights ')])
const packed = packVersion({ model: 'a/b', version: '1', release: 1, files: { m: model } })
const index = packed.indexes[0] ?? new Uint8Array()
const chunks = decodeChunkIndex(index)
const storedBytes = packed.packs.reduce((sum, pack) => sum + pack.length, 0)

/** The registry's answers to chunk questions, from memory. */
const reader = {
  index: (sha256: string) => Promise.resolve(sha256 === sha256Of(index) ? chunks : undefined),
  read: (_: unknown, chunk: number) =>
    Promise.resolve(
      encodeChunk(model.subarray(chunks.offset(chunk), chunks.offset(chunk) + chunks.length(chunk))),
    ),
} as unknown as ChunkReader

interface Faults {
  readonly lost?: number
  readonly doubled?: number
  /** So many frames may overtake one. */
  readonly reordered?: number
  readonly spoilt?: number
  readonly questionsLost?: number
}

/** Takes the model over a line with these faults; gives what came of it. */
async function takeOver(faults: Faults, seed: number) {
  const draw = createDraw(seed)
  const exchange = new Exchange({
    clock: new HastyClock(),
    topics: new Topics(),
    device: 'cam-01',
    connection: () => 1,
  })
  let deliveredBytes = 0
  const deliver = (bytes: Uint8Array) => {
    try {
      exchange.take(bytes)
    } catch {
      // As the line does with what is no frame.
    }
  }
  const send = async (request: Request) => {
    const held: Uint8Array[] = []
    for await (const frame of answer('cam-01', request, { chunks: reader } as unknown as AnswerSources)) {
      if (draw() < (faults.lost ?? 0)) continue
      const bytes = encodeFrame(frame)
      const spoilt = draw() < (faults.spoilt ?? 0)
      if (spoilt) {
        const at = Math.floor(draw() * bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 + Math.floor(draw() * 255))
      }
      if (!spoilt) deliveredBytes += frame.bytes.length
      held.push(bytes)
      if (draw() < (faults.doubled ?? 0)) held.push(bytes.slice())
      while (held.length > Math.floor(draw() * (faults.reordered ?? 0))) {
        deliver(held.splice(Math.floor(draw() * held.length), 1)[0] ?? new Uint8Array())
      }
      await Promise.resolve()
    }
    for (const bytes of held) deliver(bytes)
  }
  const line: OpenLine = {
    isOpen: true,
    limits: { packetBytesMax: 2 ** 28, receiveMax: 20 },
    ended: new Promise(() => undefined),
    publish: async ({ payload }) => {
      if (draw() >= (faults.questionsLost ?? 0)) void send(decodeMessage(Request, payload))
      await Promise.resolve()
    },
  }
  const clock = new HastyClock()
  const source = new MqttChunks({
    exchange,
    line: () => Promise.resolve(line),
    frameBytes: () => 20_000,
    bucket: new TokenBucket({ clock, rate: () => undefined }),
    decode: decodeChunk,
  })
  const wanted = new Set(Array(chunks.count).keys())
  const file = Buffer.alloc(model.length)
  for (let turn = 0; wanted.size > 0 && turn < 200; turn += 1) {
    const request = {
      index: sha256Of(index),
      wanted: [...wanted],
      length: (chunk: number) => chunks.length(chunk),
      signal: new AbortController().signal,
    }
    try {
      for await (const { chunk, bytes } of source.fetch(request)) {
        if (sha256Of(bytes) !== chunks.sha256(chunk)) continue
        file.set(bytes, chunks.offset(chunk))
        wanted.delete(chunk)
      }
    } catch {
      // Hopeless for now: whoever wants the chunks asks again.
    }
  }
  return { isRight: wanted.size === 0 && file.equals(model), moved: deliveredBytes / storedBytes }
}

describe.each<[string, Faults, number]>([
  ['nothing wrong', {}, 1.001],
  ['frames doubled', { doubled: 0.3 }, 1.001],
  ['frames out of order', { reordered: 12 }, 1.001],
  ['a third of the frames lost', { lost: 0.3 }, 1.05],
  ['questions lost', { questionsLost: 0.3 }, 1.05],
  ['frames lost, doubled and out of order', { lost: 0.2, doubled: 0.2, reordered: 8 }, 1.05],
])('%s', (_, faults, movedMax) => {
  test.each([0, 1, 2])(
    'the file is right, and little is moved twice (seed + %d)',
    async (add) => {
      const { isRight, moved } = await takeOver(faults, SEED + add)
      expect(isRight).toBe(true)
      expect(moved).toBeLessThan(movedMax)
    },
    60_000,
  )
})

test.each([0, 1, 2, 3])(
  'with spoilt frames the file is right all the same (seed + %d)',
  async (add) => {
    // A spoilt part shows only in the whole chunk, which is then fetched again: that costs more.
    const { isRight, moved } = await takeOver({ spoilt: 0.03, lost: 0.05 }, SEED + add)
    expect(isRight).toBe(true)
    expect(moved).toBeLessThan(1.5)
  },
  60_000,
)

test('a frame that nobody has asked for is let go', () => {
  const exchange = new Exchange({
    clock: new HastyClock(),
    topics: new Topics(),
    device: 'cam-01',
    connection: () => 1,
  })
  const stray = encodeFrame({
    kind: 'piece',
    isZstd: false,
    request: 77,
    item: 0,
    part: 0,
    parts: 1,
    bytes: new Uint8Array(9),
  })
  expect(exchange.take(stray)).toBeUndefined()
  expect(decodeFrame(stray).request).toBe(77)
})
