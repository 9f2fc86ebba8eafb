import { EdgeError } from '../kit/errors.ts'

/**
 *   u8 format | u8 flags | u32 request | u32 item | u16 part | u16 parts | bytes
 *
 * One piece of an answer, big-endian. An item is a chunk of an index, or the one thing that was asked for; one that does
 * not fit into a frame comes in parts.
 */
export interface Frame {
  /** The stored form is compressed. */
  readonly isZstd: boolean
  readonly kind: FrameKind
  readonly request: number
  readonly item: number
  readonly part: number
  readonly parts: number
  readonly bytes: Uint8Array
}

/**
 * `piece`: a part of an item. `missing`: there is no such item. `end`: the answer is complete; `item` counts the frames
 * that came before. `ack`: the registry has the event `item` of the session that the bytes name.
 */
type FrameKind = 'piece' | 'missing' | 'end' | 'ack'

export const FRAME_HEADER_BYTES = 14
/** Of an item: the longest object. */
const PARTS_MAX = 1024

const FORMAT = 1
const ZSTD = 1
/** The bits above the lowest say the kind. */
const KINDS: readonly FrameKind[] = ['piece', 'missing', 'end', 'ack']

export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(FRAME_HEADER_BYTES + frame.bytes.byteLength))
  const view = new DataView(bytes.buffer)
  view.setUint8(0, FORMAT)
  view.setUint8(1, (frame.isZstd ? ZSTD : 0) | (KINDS.indexOf(frame.kind) << 1))
  view.setUint32(2, frame.request)
  view.setUint32(6, frame.item)
  view.setUint16(10, frame.part)
  view.setUint16(12, frame.parts)
  bytes.set(frame.bytes, FRAME_HEADER_BYTES)
  return bytes
}

/** The bytes of the frame are a view into what came. */
export function decodeFrame(message: Uint8Array): Frame {
  if (message.byteLength < FRAME_HEADER_BYTES) {
    throw refuse(`${message.byteLength} bytes, expected at least ${FRAME_HEADER_BYTES}`)
  }
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const format = view.getUint8(0)
  if (format !== FORMAT) throw refuse(`format ${format}, expected ${FORMAT}`)
  const flags = view.getUint8(1)
  const kind = KINDS[flags >> 1]
  if (kind === undefined) throw refuse(`flags ${flags}, of which some are unknown`)
  const part = view.getUint16(10)
  const parts = view.getUint16(12)
  if (parts < 1 || parts > PARTS_MAX || part >= parts) {
    throw refuse(`part ${part} of ${parts}, expected one of at most ${PARTS_MAX}`)
  }
  return {
    isZstd: (flags & ZSTD) !== 0,
    kind,
    request: view.getUint32(2),
    item: view.getUint32(6),
    part,
    parts,
    bytes: message.subarray(FRAME_HEADER_BYTES),
  }
}

/** Cuts one item into frames of at most `frameBytes`, header included. */
export function* cutFrames(
  item: Pick<Frame, 'request' | 'item' | 'isZstd'> & { readonly bytes: Uint8Array },
  frameBytes: number,
): Generator<Frame> {
  const room = frameBytes - FRAME_HEADER_BYTES
  const parts = Math.max(1, Math.ceil(item.bytes.byteLength / room))
  if (parts > PARTS_MAX)
    throw refuse(`${item.bytes.byteLength} bytes come to ${parts} parts, at most ${PARTS_MAX}`)
  for (let part = 0; part < parts; part += 1) {
    yield { ...item, kind: 'piece', part, parts, bytes: item.bytes.subarray(part * room, (part + 1) * room) }
  }
}

function refuse(what: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot use a frame: ${what}`)
}
