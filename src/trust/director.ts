import { createHash } from 'node:crypto'
import { z } from 'zod'
import { messageOf } from '../kit/errors.ts'
import { decodeCanonical, encodeCanonical } from './canonical-json.ts'
import type { EnvelopeKey } from './dsse.ts'
import { keyIdOf, type SigningKey } from './key.ts'
import { TrustRefusal } from './refusal.ts'

/** The object behind the target `keys/director.json`: who may sign assignments. Rotated like everything else in TUF. */
export const DIRECTOR_BYTES_MAX = 16 * 1024

const Directors = z.object({
  format: z.literal(1),
  keys: z
    .array(z.object({ public: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(8),
})

export function encodeDirectors(keys: readonly SigningKey[]): Uint8Array {
  return encodeCanonical({ format: 1, keys: keys.map(({ json }) => ({ public: json.keyval.public })) })
}

/** `listed` is what TUF says of these bytes. */
export function readDirectors(
  bytes: Uint8Array,
  listed: { readonly sha256: string; readonly bytes: number },
): EnvelopeKey[] {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (bytes.length !== listed.bytes || sha256 !== listed.sha256) {
    throw new TrustRefusal(
      'object_tampered',
      `Cannot take the director's keys: they hash to ${sha256}, signed was ${listed.sha256}`,
    )
  }
  try {
    const { keys } = Directors.parse(decodeCanonical(bytes, { bytesMax: DIRECTOR_BYTES_MAX, depthMax: 4 }))
    return keys.map(({ public: hex }) => ({
      id: keyIdOf({ keytype: 'ed25519', scheme: 'ed25519', keyval: { public: hex } }),
      public: hex,
    }))
  } catch (cause) {
    throw new TrustRefusal('metadata_malformed', `Cannot read the director's keys: ${messageOf(cause)}`, {
      cause,
    })
  }
}
