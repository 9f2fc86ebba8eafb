import type { Targets } from '@tufjs/models'
import { z } from 'zod'
import { decodeJson } from './canonical-json.ts'
import { FLOORS_FIELD } from './family-targets.ts'
import { METADATA_BOUNDS } from './metadata-bounds.ts'
import { instant, type RootFields, type TargetsFields } from './sign-metadata.ts'

/** Metadata as its signers wrote it, to make the next version of. Verifying is the business of whoever read them. */

const DAY_MS = 24 * 3600 * 1000
const BOUNDS = { bytesMax: METADATA_BOUNDS.targetsBytesMax, depthMax: 16 } as const

const Key = z.object({
  keytype: z.literal('ed25519'),
  scheme: z.literal('ed25519'),
  keyval: z.object({ public: z.string() }),
})
const Keys = z.record(z.string(), Key)
const RoleKeys = z.object({ keyids: z.array(z.string()), threshold: z.int() })

const RootJson = z.object({
  signed: z.object({
    version: z.int(),
    expires: z.string(),
    keys: Keys,
    roles: z.object({ root: RoleKeys, targets: RoleKeys, snapshot: RoleKeys, timestamp: RoleKeys }),
  }),
  signatures: z.array(z.object({ keyid: z.string(), sig: z.string() })),
})

const Target = z.object({
  length: z.int(),
  hashes: z.object({ sha256: z.string() }),
  custom: z.object({ release: z.int() }).optional(),
})
const TargetsJson = z.object({
  signed: z.object({
    version: z.int(),
    expires: z.string(),
    targets: z.record(z.string(), Target),
    delegations: z
      .object({
        keys: Keys,
        roles: z.array(
          RoleKeys.extend({ name: z.string(), paths: z.array(z.string()), terminating: z.boolean() }),
        ),
      })
      .optional(),
    [FLOORS_FIELD]: z.record(z.string(), z.int()).optional(),
  }),
})

export function readRoot(bytes: Uint8Array): RootFields {
  return RootJson.parse(decodeJson(bytes, BOUNDS)).signed
}

export function readTargets(bytes: Uint8Array): TargetsFields {
  return parseTargets(decodeJson(bytes, BOUNDS))
}

/** Of metadata that has been verified. */
export function fieldsOf(targets: Targets): TargetsFields {
  return parseTargets({ signed: targets.toJSON() })
}

function parseTargets(json: unknown): TargetsFields {
  const { [FLOORS_FIELD]: floors, delegations, targets, ...rest } = TargetsJson.parse(json).signed
  const kept = Object.entries(targets).map(([path, { custom, ...file }]) => [
    path,
    custom ? { ...file, custom } : file,
  ])
  return {
    ...rest,
    targets: Object.fromEntries(kept) as TargetsFields['targets'],
    ...(delegations && { delegations }),
    ...(floors && { [FLOORS_FIELD]: floors }),
  }
}

/** The ids of the keys that have signed it, whether well or not. */
export function readSignerIds(bytes: Uint8Array): ReadonlySet<string> {
  return new Set(RootJson.parse(decodeJson(bytes, BOUNDS)).signatures.map(({ keyid }) => keyid))
}

export const NO_TARGETS: TargetsFields = { version: 0, expires: '', targets: {} }

/** The version after this one, good for so many days. */
export function nextOf({ version }: { version: number }, { days, nowMs }: { days: number; nowMs: number }) {
  return { version: version + 1, expires: instant(nowMs + days * DAY_MS) }
}
