import { prettifyError, z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { Batch } from './telemetry-batch.ts'

/**
 * What travels as JSON. Small on purpose, and nothing in it is trusted: a message only says "go and look". Integers and
 * strings alone, so that it may be signed and compared as it is; measured values are the exception.
 */

const UINT32_MAX = 2 ** 32 - 1
const MESSAGE_BYTES_MAX = 256 * 1024
/** Larger than any rev that a registry comes to, and far from where numbers lose their last digit. */
const COUNTER_MAX = 2 ** 48

const Sid = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const Counter = z.int().min(0).max(COUNTER_MAX)
const Uint32 = z.int().min(0).max(UINT32_MAX)

/** Bytes of one frame, header included. */
export const FRAME_BYTES = { least: 512, most: 256 * 1024 } as const
/** Bits of a bitmap, four to a hex digit. */
export const WANT_BITS_MAX = 16_384
/** Of frames that one request may bring. */
export const ANSWER_BYTES_MAX = 8 * 1024 ** 2
const PARTS_WANTED_MAX = 256

const answerable = {
  rid: Uint32,
  /** The device's connection: what was asked over an older one needs no answer any more. */
  line: Counter,
  frame_bytes: z.int().min(FRAME_BYTES.least).max(FRAME_BYTES.most),
}
/** Which items, or which parts of the one item: bit 0 of the first digit's highest bit is the item at `offset`. */
const windowed = {
  ...answerable,
  offset: Uint32,
  want: z
    .string()
    .regex(/^[0-9a-f]*$/)
    .max(WANT_BITS_MAX / 4),
}

export const Request = z.discriminatedUnion('op', [
  /** "Here I am, and this is the last rev that I have seen." */
  z.object({ op: z.literal('sync'), ...answerable, rev: Counter }),
  /** A file of TUF metadata, by its name. */
  z.object({
    op: z.literal('meta'),
    ...windowed,
    name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,159}$/),
  }),
  z.object({ op: z.literal('object'), ...windowed, sha256: Sha256 }),
  z.object({ op: z.literal('assignment'), ...windowed }),
  z.object({
    op: z.literal('chunks'),
    ...windowed,
    /** Of the chunk index. */
    index: Sha256,
    /** Single parts of chunks whose other parts are there: [chunk, part]. They come before what `want` asks. */
    parts: z.array(z.tuple([Uint32, z.int().min(0).max(65_535)])).max(PARTS_WANTED_MAX),
    bytes_max: z.int().min(1).max(ANSWER_BYTES_MAX),
  }),
  /** Answered with the director's word on the time. */
  z.object({ op: z.literal('time'), ...answerable, nonce: z.string().regex(/^[0-9a-f]{32,64}$/) }),
])
export type Request = z.infer<typeof Request>
export type RequestOf<Op extends Request['op']> = Extract<Request, { op: Op }>

/** A pointer, nothing else: what is wanted is in the envelope of that hash. */
export const Desired = z.object({ rev: Counter, sha256: Sha256 })
export type Desired = z.infer<typeof Desired>

/** The answer to "sync"; null: nobody has said yet what the device should run. */
export const Synced = z.object({ sid: Sid, desired: Desired.nullable(), time_ms: Counter })
export type Synced = z.infer<typeof Synced>

/** Whether the registry is there; `ts` says which of two is the newer word. */
export const RegistryState = z.object({
  online: z.boolean(),
  ts: Counter,
  sid: Sid,
  pv: z.array(z.int()).max(16),
  /** How many devices hear this: they do not all come at once. */
  devices: Counter.default(0),
})
export type RegistryState = z.infer<typeof RegistryState>

/** A device's report of itself; its last will is one with `online` false. The registry keeps the rest as it comes. */
export const DeviceState = z.looseObject({ sid: Sid, seq: Counter, online: z.boolean() })
export type DeviceState = z.infer<typeof DeviceState>

/** A fact with its place in the device's own count, by which a copy is known. */
export const DeviceEvent = z.looseObject({ sid: Sid, seq: Uint32 })
export type DeviceEvent = z.infer<typeof DeviceEvent>

/** Of one message. */
export const EVENTS_MAX = 256

/** Several of them in their order: a round trip for each would hold up whoever comes back after long. */
export const DeviceEvents = z.object({
  sid: Sid,
  events: z
    .array(z.looseObject({ seq: Uint32 }))
    .min(1)
    .max(EVENTS_MAX),
})
export type DeviceEvents = z.infer<typeof DeviceEvents>

/** A sign of life with a few values of the moment; the registry shows them, and keeps none. */
export const Heartbeat = z.looseObject({
  sid: Sid,
  seq: Counter,
  /** By the device's clock. */
  time: Counter.optional(),
  /** How often one comes: three missing ones, and the device counts as gone. */
  every_seconds: z.int().min(1).max(3600).optional(),
})
export type Heartbeat = z.infer<typeof Heartbeat>

const BATCHES_MAX = 64

/** What was measured, in the order of its numbers; acknowledged like events, by the last of them. */
export const Telemetry = z.object({
  sid: Sid,
  batches: z
    .array(z.object({ seq: Uint32, hist: z.boolean().default(false), ...Batch.shape }))
    .min(1)
    .max(BATCHES_MAX),
})
export type Telemetry = z.infer<typeof Telemetry>

export function encodeMessage(message: object): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(message))
}

/** Refuses in words what is not such a message. */
export function decodeMessage<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array): z.infer<Schema> {
  const parsed = schema.safeParse(parseJson(bytes))
  if (parsed.success) return parsed.data
  throw new EdgeError('input_invalid', `Cannot use a message: ${prettifyError(parsed.error)}`)
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.byteLength > MESSAGE_BYTES_MAX) {
    throw new EdgeError(
      'input_invalid',
      `Cannot use a message: ${bytes.byteLength} bytes, at most ${MESSAGE_BYTES_MAX}`,
    )
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new EdgeError('input_invalid', `Cannot read a message as JSON: ${messageOf(cause)}`, { cause })
  }
}
