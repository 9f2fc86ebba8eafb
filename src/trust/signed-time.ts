import { z } from 'zod'
import { messageOf } from '../kit/errors.ts'
import { decodeCanonical, encodeCanonical } from './canonical-json.ts'
import { type EnvelopeKey, openEnvelope, sealEnvelope } from './dsse.ts'
import type { SigningKey } from './key.ts'
import { requireTrust, TrustRefusal } from './refusal.ts'

/** The director's word on what time it is, for a device whose clock is wrong. The nonce makes it an answer, not a recording. */
const TIME_TYPE = 'application/vnd.limpet.time+json'
const BYTES_MAX = 4096

const Nonce = z.string().regex(/^[0-9a-f]{32,64}$/)
const SignedTime = z.object({
  nonce: Nonce,
  time_ms: z
    .int()
    .min(0)
    .max(2 ** 52),
})

export function signTime(answer: { nonce: string; timeMs: number }, director: SigningKey): Uint8Array {
  const { nonce, timeMs } = answer
  const payload = encodeCanonical(SignedTime.parse({ nonce, time_ms: timeMs }))
  return sealEnvelope(payload, { type: TIME_TYPE, keys: [director] })
}

/** Milliseconds since 1970, as the director said them to this question. */
export function verifyTime(
  envelope: Uint8Array,
  expected: { nonce: string; directorKeys: readonly EnvelopeKey[] },
): number {
  const { payload, isSigned } = attempt(() =>
    openEnvelope(envelope, { type: TIME_TYPE, keys: expected.directorKeys, bytesMax: BYTES_MAX }),
  )
  requireTrust(
    isSigned,
    'time_signature',
    () => 'Cannot take the time: it is not signed by a key that TUF lists for the director',
  )
  const answer = attempt(() =>
    SignedTime.parse(decodeCanonical(payload, { bytesMax: BYTES_MAX, depthMax: 2 })),
  )
  requireTrust(
    answer.nonce === expected.nonce,
    'time_replayed',
    () => 'Cannot take the time: it answers another question',
  )
  return answer.time_ms
}

function attempt<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new TrustRefusal('time_malformed', `Cannot read the time: ${messageOf(cause)}`, { cause })
  }
}
