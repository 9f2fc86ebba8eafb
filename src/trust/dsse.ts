import { type CanonicalBounds, decodeJson } from './canonical-json.ts'
import { isSignedBy, type SigningKey } from './key.ts'

/**
 * Dead Simple Signing Envelopes (DSSE v1.0): the bytes that were signed travel as they are, so nothing has to be parsed
 * before the signature is known to be good.
 */
export interface OpenEnvelope {
  readonly payload: Uint8Array
  /** A key of the asked ones has signed it. */
  readonly isSigned: boolean
}

export interface EnvelopeKey {
  readonly id: string
  readonly public: string
}

const SIGNATURES_MAX = 16
const encoder = new TextEncoder()

export function sealEnvelope(
  payload: Uint8Array,
  options: { type: string; keys: readonly SigningKey[] },
): Uint8Array {
  const signed = preAuthenticationEncoding(options.type, payload)
  return encoder.encode(
    JSON.stringify({
      payload: Buffer.from(payload).toString('base64'),
      payloadType: options.type,
      signatures: options.keys.map((key) => ({
        keyid: key.id,
        sig: Buffer.from(key.sign(signed)).toString('base64'),
      })),
    }),
  )
}

/** What the envelope holds; throws a TypeError where it is none, or holds another type. */
export function openEnvelope(
  bytes: Uint8Array,
  options: { type: string; keys: readonly EnvelopeKey[]; bytesMax: number },
): OpenEnvelope {
  const bounds: CanonicalBounds = { bytesMax: options.bytesMax, depthMax: 4 }
  const { payload, payloadType, signatures } = fieldsOf(decodeJson(bytes, bounds))
  if (payloadType !== options.type) {
    throw new TypeError(`the payload's type is "${String(payloadType)}", expected "${options.type}"`)
  }
  if (!Array.isArray(signatures) || signatures.length === 0 || signatures.length > SIGNATURES_MAX) {
    throw new TypeError(`expected 1 to ${SIGNATURES_MAX} signatures`)
  }
  const content = base64Of(payload)
  const signed = preAuthenticationEncoding(options.type, content)
  const isSigned = signatures.some((entry: unknown) => {
    const { sig } = fieldsOf(entry)
    const signature = base64Of(sig)
    // The key id is a hint that anybody may change (DSSE, "protocol"): each key is tried.
    return options.keys.some((key) => isSignedBy(key.public, signed, signature))
  })
  return { payload: content, isSigned }
}

/** PAE of the DSSE specification: lengths in front, so that type and payload cannot flow into one another. */
export function preAuthenticationEncoding(type: string, payload: Uint8Array): Uint8Array {
  const name = encoder.encode(type)
  return Buffer.concat([
    encoder.encode(`DSSEv1 ${name.length} `),
    name,
    encoder.encode(` ${payload.length} `),
    payload,
  ])
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('expected an object')
  return value as Record<string, unknown>
}

/** DSSE wants either alphabet to be read. What Buffer skips over is refused: one text for one payload. */
function base64Of(value: unknown): Uint8Array {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value))
    throw new TypeError('expected base64')
  return new Uint8Array(Buffer.from(value, 'base64'))
}
