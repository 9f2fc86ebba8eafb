import { createHash, timingSafeEqual } from 'node:crypto'
import type { Random } from '../kit/random.ts'

/**
 * Secrets that the registry makes: 256 random bits behind a public id, `PREFIX_ID_SECRET`. Only the SHA-256 of the
 * secret is kept: with so many random bits there is nothing that a slow hash would protect.
 */
export interface Secret {
  readonly id: string
  /** What its owner is told, once. */
  readonly text: string
  readonly sha256: Uint8Array
}

const ID_BYTES = 8
const SECRET_BYTES = 32
const FORM = /^([a-z]+)_([0-9a-f]{16})_([0-9a-f]{64})$/

export function makeSecret(prefix: string, random: Random): Secret {
  const id = random.bytes(ID_BYTES).toHex()
  const secret = random.bytes(SECRET_BYTES).toHex()
  return { id, text: `${prefix}_${id}_${secret}`, sha256: hashSecret(secret) }
}

/** Undefined: it cannot be one of ours. */
export function parseSecret(prefix: string, text: string): { id: string; sha256: Uint8Array } | undefined {
  const [, kind, id = '', secret = ''] = FORM.exec(text) ?? []
  return kind === prefix ? { id, sha256: hashSecret(secret) } : undefined
}

export function hashSecret(secret: string): Uint8Array {
  return createHash('sha256').update(secret).digest()
}

/** Takes as long for a secret that is nearly right as for one that is not. */
export function isSameHash(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && timingSafeEqual(one, other)
}
