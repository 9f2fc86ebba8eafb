import { Metadata, MetadataKind, Signature } from '@tufjs/models'
import type { PublicKeyJson, SigningKey } from './key.ts'

/** The signing side of TUF: plain JSON in, signed bytes out. Canonical form and signatures are tuf-js' own. */

type Kind = 'root' | 'targets' | 'snapshot' | 'timestamp'

interface SignedFields {
  readonly version: number
  readonly expires: string
}

export interface RoleKeys {
  readonly keyids: readonly string[]
  readonly threshold: number
}

export interface RootFields extends SignedFields {
  readonly keys: Readonly<Record<string, PublicKeyJson>>
  readonly roles: Readonly<Record<Kind, RoleKeys>>
}

export interface DelegatedRoleFields extends RoleKeys {
  readonly name: string
  readonly paths: readonly string[]
  readonly terminating: boolean
}

export interface TargetFields {
  readonly length: number
  readonly hashes: { readonly sha256: string }
  readonly custom?: { readonly release: number }
}

export interface TargetsFields extends SignedFields {
  readonly targets: Readonly<Record<string, TargetFields>>
  readonly delegations?: {
    readonly keys: Readonly<Record<string, PublicKeyJson>>
    readonly roles: readonly DelegatedRoleFields[]
  }
  readonly limpet_floors?: Readonly<Record<string, number>>
}

export interface MetaFields {
  readonly version: number
  readonly length: number
  readonly hashes: { readonly sha256: string }
}

export interface SnapshotFields extends SignedFields {
  readonly meta: Readonly<Record<string, MetaFields>>
}

export interface TimestampFields extends SnapshotFields {
  /** When it was signed. Not part of TUF: a device's clock floor rises with it. */
  readonly issued: string
}

const SPEC_VERSION = '1.0.31'
const encoder = new TextEncoder()

export function signRoot(fields: RootFields, keys: readonly SigningKey[]): Uint8Array {
  return signFields('root', { ...fields, consistent_snapshot: true }, keys)
}

export function signTargets(fields: TargetsFields, keys: readonly SigningKey[]): Uint8Array {
  return signFields('targets', fields, keys)
}

export function signSnapshot(fields: SnapshotFields, key: SigningKey): Uint8Array {
  return signFields('snapshot', fields, [key])
}

export function signTimestamp(fields: TimestampFields, key: SigningKey): Uint8Array {
  return signFields('timestamp', fields, [key])
}

/** A time as TUF writes it: whole seconds. */
export function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Adds signatures to metadata, or puts others in their place; every other signature stays. */
export function addSignatures(kind: Kind, bytes: Uint8Array, keys: readonly SigningKey[]): Uint8Array {
  const metadata = parse(kind, JSON.parse(Buffer.from(bytes).toString()))
  for (const key of keys) sign(metadata, key)
  return encoder.encode(JSON.stringify(metadata.toJSON()))
}

function signFields(kind: Kind, fields: object, keys: readonly SigningKey[]): Uint8Array {
  const signed = { _type: kind, spec_version: SPEC_VERSION, ...fields }
  const metadata = parse(kind, { signed, signatures: [] })
  for (const key of keys) sign(metadata, key)
  return encoder.encode(JSON.stringify(metadata.toJSON()))
}

const KINDS = {
  root: MetadataKind.Root,
  targets: MetadataKind.Targets,
  snapshot: MetadataKind.Snapshot,
  timestamp: MetadataKind.Timestamp,
} as const satisfies Record<Kind, MetadataKind>

/** Through tuf-js' reader, so that nothing is signed that it would not take. */
function parse(kind: Kind, json: object) {
  // It has an overload for each kind, and none for a union of them.
  return Metadata.fromJSON(
    KINDS[kind] as MetadataKind.Targets,
    json as Parameters<typeof Metadata.fromJSON>[1],
  )
}

function sign(metadata: ReturnType<typeof parse>, key: SigningKey): void {
  metadata.sign(
    (bytes) =>
      new Signature({ keyID: key.id, sig: Buffer.from(key.sign(new Uint8Array(bytes))).toString('hex') }),
  )
}
