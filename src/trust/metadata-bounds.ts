import { z } from 'zod'
import { messageOf } from '../kit/errors.ts'
import { decodeJson } from './canonical-json.ts'
import { requireTrust, TrustRefusal } from './refusal.ts'

/**
 * What a device takes, looked at before anything is built: parsing a role takes time in the square of its targets
 * (2,000 took a quarter of a second, 10,000 six seconds).
 */
export const METADATA_BOUNDS = {
  rootBytesMax: 256 * 1024,
  timestampBytesMax: 16 * 1024,
  snapshotBytesMax: 512 * 1024,
  targetsBytesMax: 1024 * 1024,
  targetsMax: 500,
  rolesMax: 500,
  keysMax: 1024,
  signaturesMax: 64,
  rootRotationsMax: 256,
  delegationsMax: 32,
  /** No registry signs as often between two looks of a device; it would take one signature a second for 11 days. */
  versionStepMax: 1_000_000,
} as const

const DEPTH_MAX = 16

const Few = (most: number) =>
  z
    .record(z.string(), z.unknown())
    .refine((map) => Object.keys(map).length <= most, { error: `at most ${most}` })

const Keys = z.record(z.string(), z.object({ keyval: z.object({ public: z.string() }) }))

/**
 * One key under several ids would sign for each of them, and a threshold of two would be met by one thief: tuf-js
 * counts ids (specification 4.2: an id stands for one key).
 */
const KeyLists = z.object({
  signed: z.object({ keys: Keys.optional(), delegations: z.object({ keys: Keys.optional() }).optional() }),
})

const Envelope = z.object({
  signatures: z.array(z.object({ keyid: z.string(), sig: z.string() })),
  signed: z.object({ version: z.int().min(1) }),
})

const { targetsMax, rolesMax, keysMax } = METADATA_BOUNDS

/** Sizes only: what the metadata means is for tuf-js to say. */
const Sizes = z.object({
  signatures: z.array(z.unknown()).max(METADATA_BOUNDS.signaturesMax),
  signed: z.object({
    targets: Few(targetsMax).optional(),
    meta: Few(rolesMax).optional(),
    keys: Few(keysMax).optional(),
    delegations: z
      .object({ keys: Few(keysMax).optional(), roles: z.array(z.unknown()).max(rolesMax).optional() })
      .optional(),
  }),
})

/** What can be read of metadata before it is verified; only good for comparing and for naming what is wrong. */
export interface Glimpse {
  readonly version: number
  readonly signers: readonly string[]
}

export function glimpse(bytes: Uint8Array, options: { name: string; bytesMax: number }): Glimpse {
  const { name, bytesMax } = options
  requireTrust(
    bytes.length <= bytesMax,
    'metadata_oversize',
    () => `Cannot take "${name}": it has ${bytes.length} bytes, at most ${bytesMax}`,
  )
  const json = attempt(name, 'metadata_malformed', () => decodeJson(bytes, { bytesMax, depthMax: DEPTH_MAX }))
  const { signatures, signed } = attempt(name, 'metadata_malformed', () => Envelope.parse(json))
  attempt(name, 'metadata_oversize', () => Sizes.parse(json))
  const { keys, delegations } = attempt(name, 'metadata_malformed', () => KeyLists.parse(json)).signed
  for (const list of [keys, delegations?.keys]) requireDistinctKeys(name, Object.values(list ?? {}))
  return { version: signed.version, signers: signatures.map(({ keyid }) => keyid) }
}

function requireDistinctKeys(
  name: string,
  keys: readonly { readonly keyval: { readonly public: string } }[],
): void {
  const distinct = new Set(keys.map(({ keyval }) => keyval.public.trim().toLowerCase()))
  requireTrust(
    distinct.size === keys.length,
    'metadata_malformed',
    () => `Cannot take "${name}": it has ${keys.length} keys, of which ${distinct.size} are different`,
  )
}

function attempt<T>(name: string, reason: 'metadata_malformed' | 'metadata_oversize', read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const words =
      cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : messageOf(cause)
    throw new TrustRefusal(reason, `Cannot take "${name}": ${words}`, { cause })
  }
}
