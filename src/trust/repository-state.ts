import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { decodeJson } from './canonical-json.ts'
import { type MetadataFiles, roleFile } from './metadata-files.ts'
import { DIRECTOR_TARGET } from './names.ts'
import type { MetaFields } from './sign-metadata.ts'

/**
 * A registry's own files, read without asking whether they are signed well or have expired: what is built on them is
 * tried as a device would, and a registry whose timestamp has run out, or whose root was changed under it, must be able
 * to sign a new one.
 */
export interface RepositoryState {
  readonly rootBytes: Uint8Array
  readonly rootVersion: number
  readonly signers: OnlineSigners
  readonly timestamp: { readonly version: number; readonly expires: string }
  readonly snapshot: { readonly version: number; readonly expires: string }
  /** What the snapshot lists, by file. */
  readonly meta: Readonly<Record<string, MetaFields>>
  /** Families that the targets role delegates. */
  readonly families: ReadonlySet<string>
  /** The object that holds the director's keys, undefined where none is listed. */
  readonly director: { readonly sha256: string; readonly bytes: number } | undefined
  /** What a device has that knows this state. */
  readonly local: readonly (readonly [string, Uint8Array])[]
}

/** Ids of the keys that a root names. */
export interface OnlineSigners {
  readonly snapshot: readonly string[]
  readonly timestamp: readonly string[]
}

const BOUNDS = { bytesMax: 2 * 1024 * 1024, depthMax: 16 } as const

const Meta = z.object({ version: z.int(), length: z.int(), hashes: z.object({ sha256: z.string() }) })
const Signed = z.object({ version: z.int(), expires: z.string() })
const Role = z.object({ keyids: z.array(z.string()) })
const Root = z.object({
  signed: Signed.extend({ roles: z.object({ snapshot: Role, timestamp: Role }) }),
})
const Listing = z.object({ signed: Signed.extend({ meta: z.record(z.string(), Meta) }) })
const Targets = z.object({
  signed: z.object({
    targets: z.record(z.string(), z.object({ length: z.int(), hashes: z.object({ sha256: z.string() }) })),
    delegations: z.object({ roles: z.array(z.object({ name: z.string() })) }).optional(),
  }),
})

export async function readState(files: MetadataFiles): Promise<RepositoryState> {
  const rootBytes = await readFile(files, roleFile('root'))
  const timestampBytes = await readFile(files, roleFile('timestamp'))
  const timestamp = parse(Listing, { name: 'timestamp.json', bytes: timestampBytes }).signed
  const snapshotName = `${timestamp.meta['snapshot.json']?.version}.snapshot.json`
  const snapshotBytes = await readFile(files, snapshotName)
  const snapshot = parse(Listing, { name: snapshotName, bytes: snapshotBytes }).signed
  const targetsName = `${snapshot.meta['targets.json']?.version}.targets.json`
  const targets = parse(Targets, { name: targetsName, bytes: await readFile(files, targetsName) }).signed
  const director = targets.targets[DIRECTOR_TARGET]
  return {
    rootBytes,
    rootVersion: parse(Root, { name: 'root.json', bytes: rootBytes }).signed.version,
    signers: readSigners(rootBytes),
    timestamp,
    snapshot,
    meta: snapshot.meta,
    families: new Set(targets.delegations?.roles.map(({ name }) => name)),
    director: director && { sha256: director.hashes.sha256, bytes: director.length },
    local: [
      [roleFile('timestamp'), timestampBytes],
      [roleFile('snapshot'), snapshotBytes],
    ],
  }
}

export function readSigners(root: Uint8Array): OnlineSigners {
  const { snapshot, timestamp } = parse(Root, { name: 'root.json', bytes: root }).signed.roles
  return { snapshot: snapshot.keyids, timestamp: timestamp.keyids }
}

async function readFile(files: MetadataFiles, name: string): Promise<Uint8Array> {
  const bytes = await files.read(name)
  if (bytes !== undefined) return bytes
  throw new EdgeError(
    'config_invalid',
    `Cannot read the registry's metadata: there is no "${name}"; make it with "limpet keys init"`,
  )
}

function parse<T>(schema: z.ZodType<T>, { name, bytes }: { name: string; bytes: Uint8Array }): T {
  try {
    return schema.parse(decodeJson(bytes, BOUNDS))
  } catch (cause) {
    throw new EdgeError('config_invalid', `Cannot read the registry's "${name}": ${messageOf(cause)}`, {
      cause,
    })
  }
}
