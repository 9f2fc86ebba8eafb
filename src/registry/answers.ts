import { EdgeError } from '../kit/errors.ts'
import { decodeBitmap } from '../link/bitmap.ts'
import { cutFrames, FRAME_HEADER_BYTES, type Frame } from '../link/frame.ts'
import { ANSWER_BYTES_MAX, encodeMessage, type Request, type RequestOf } from '../link/messages.ts'
import type { ChunkReader } from './chunk-reader.ts'

/** Where what devices ask for comes from. */
export interface AnswerSources {
  readonly chunks: ChunkReader
  readonly readMetadata: (name: string) => Promise<Uint8Array | undefined>
  readonly readObject: (sha256: string) => Promise<Uint8Array | undefined>
  readonly readAssignment: (device: string) => Uint8Array | undefined
  /** The answer to "sync" for a device that has seen that rev. */
  readonly sync: (device: string, rev: number) => object
  readonly signTime: (nonce: string) => Uint8Array
}

type Piece = {
  readonly isZstd: boolean
  readonly item: number
  readonly bytes: Uint8Array
  readonly only?: readonly number[]
}
/** Null: the item is not there. */
type Item = Piece | { readonly item: number; readonly missing: true }

/** Everything that a device may ask over MQTT, as frames. How fast they go is the business of whoever sends them. */
export async function* answer(
  device: string,
  request: Request,
  sources: AnswerSources,
): AsyncGenerator<Frame> {
  const { rid, frame_bytes } = request
  let frames = 0
  let covered = 0
  let bytes = 0
  for await (const item of itemsOf(device, request, sources)) {
    if ('missing' in item) {
      yield {
        kind: 'missing',
        isZstd: false,
        request: rid,
        item: item.item,
        part: 0,
        parts: 1,
        bytes: NOTHING,
      }
      frames += 1
    } else {
      for (const frame of cutFrames({ request: rid, ...item }, frame_bytes)) {
        if (item.only !== undefined && !item.only.includes(frame.part)) continue
        yield frame
        frames += 1
        bytes += frame.bytes.byteLength + FRAME_HEADER_BYTES
      }
    }
    covered += 1
    if (bytes >= ANSWER_BYTES_MAX) break
  }
  yield endFrame(rid, { frames, covered })
}

const NOTHING = new Uint8Array(0)

function endFrame(rid: number, { frames, covered }: { frames: number; covered: number }): Frame {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, covered)
  return { kind: 'end', isZstd: false, request: rid, item: frames, part: 0, parts: 1, bytes }
}

async function* itemsOf(device: string, request: Request, sources: AnswerSources): AsyncGenerator<Item> {
  switch (request.op) {
    case 'sync':
      yield whole(encodeMessage(sources.sync(device, request.rev)))
      return
    case 'time':
      yield whole(sources.signTime(request.nonce))
      return
    case 'meta':
      yield parts(await sources.readMetadata(request.name), request)
      return
    case 'object':
      yield parts(await sources.readObject(request.sha256), request)
      return
    case 'assignment':
      yield parts(sources.readAssignment(device), request)
      return
    case 'chunks':
      yield* chunkItems(request, sources.chunks)
  }
}

function whole(bytes: Uint8Array): Item {
  return { item: 0, isZstd: false, bytes }
}

/** The one thing that was asked for, of which some parts are wanted. */
function parts(
  bytes: Uint8Array | undefined,
  request: RequestOf<'meta'> | RequestOf<'object'> | RequestOf<'assignment'>,
): Item {
  if (bytes === undefined) return { item: 0, missing: true }
  return { item: 0, isZstd: false, bytes, only: [...decodeBitmap(request)] }
}

/** Parts that a device lacks first: with them chunks become whole that it has paid for. */
async function* chunkItems(request: RequestOf<'chunks'>, chunks: ChunkReader): AsyncGenerator<Item> {
  const index = await chunks.index(request.index)
  if (index === undefined) {
    yield { item: firstOf(request), missing: true }
    return
  }
  const lacking = new Map<number, number[]>()
  for (const [chunk, part] of request.parts) lacking.set(chunk, [...(lacking.get(chunk) ?? []), part])
  let bytes = 0
  for (const chunk of [...lacking.keys(), ...decodeBitmap(request)]) {
    const stored = await chunks.read(index, chunk)
    if (stored === undefined) {
      yield { item: chunk, missing: true }
      continue
    }
    const only = lacking.get(chunk)
    // At least one: who asks for less than a chunk has would never get it.
    if (bytes > 0 && bytes + stored.bytes.byteLength > request.bytes_max) return
    bytes += stored.bytes.byteLength
    yield {
      item: chunk,
      isZstd: stored.encoding === 'zstd',
      bytes: stored.bytes,
      ...(only === undefined ? {} : { only }),
    }
  }
}

function firstOf(request: RequestOf<'chunks'>): number {
  const [[chunk] = [undefined]] = request.parts
  if (chunk !== undefined) return chunk
  for (const first of decodeBitmap(request)) return first
  throw new EdgeError('input_invalid', 'Cannot answer: the request asks for no chunk')
}
