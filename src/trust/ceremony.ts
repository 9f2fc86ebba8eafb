import { createHash } from 'node:crypto'
import { encodeDirectors } from './director.ts'
import type { SigningKey } from './key.ts'
import { roleFile } from './metadata-files.ts'
import { DIRECTOR_TARGET } from './names.ts'
import { metaOf } from './repository.ts'
import {
  type DelegatedRoleFields,
  instant,
  type RoleKeys,
  signRoot,
  signSnapshot,
  signTargets,
  signTimestamp,
  type TargetFields,
} from './sign-metadata.ts'

/** Everyone who signs in a new repository. */
export interface Ceremony {
  readonly root: readonly SigningKey[]
  /** So many root keys have to sign a change of the root. */
  readonly rootThreshold: number
  readonly targets: SigningKey
  readonly publishers: ReadonlyMap<string, SigningKey>
  readonly director: SigningKey
  readonly snapshot: SigningKey
  readonly timestamp: SigningKey
  readonly nowMs: number
}

const DAY_MS = 24 * 3600 * 1000
/** How long the files are good that people sign. The registry's own are shorter. */
export const OFFLINE_DAYS = { root: 730, targets: 730, family: 365 } as const
const FIRST_DAYS = { snapshot: 30, timestamp: 7 } as const

export interface FirstFiles {
  /** As the registry serves them. */
  readonly metadata: ReadonlyMap<string, Uint8Array>
  /** Content-addressed objects that metadata names. */
  readonly objects: ReadonlyMap<string, Uint8Array>
}

/** The first version of everything, signed. */
export function signFirstFiles(ceremony: Ceremony): FirstFiles {
  const expires = (days: number) => instant(ceremony.nowMs + days * DAY_MS)
  const root = signFirstRoot(ceremony)
  const director = directorTarget([ceremony.director])
  const targets = signTargets(
    {
      version: 1,
      expires: expires(OFFLINE_DAYS.targets),
      targets: { [DIRECTOR_TARGET]: director.target },
      delegations: {
        keys: Object.fromEntries([...ceremony.publishers.values()].map((key) => [key.id, key.json])),
        roles: [...ceremony.publishers].map(([family, key]) => delegationOf(family, key)),
      },
    },
    [ceremony.targets],
  )
  const families = [...ceremony.publishers].map(
    ([family, key]) =>
      [
        roleFile(family),
        signTargets({ version: 1, expires: expires(OFFLINE_DAYS.family), targets: {} }, [key]),
      ] as const,
  )
  const listed = [[roleFile('targets'), targets] as const, ...families]
  const meta = Object.fromEntries(listed.map(([file, bytes]) => [file, metaOf({ version: 1, bytes })]))
  const snapshot = signSnapshot(
    { version: 1, expires: expires(FIRST_DAYS.snapshot), meta },
    ceremony.snapshot,
  )
  const timestamp = signTimestamp(
    {
      version: 1,
      expires: expires(FIRST_DAYS.timestamp),
      issued: instant(ceremony.nowMs),
      meta: { 'snapshot.json': metaOf({ version: 1, bytes: snapshot }) },
    },
    ceremony.timestamp,
  )
  return {
    metadata: new Map([
      ['1.root.json', root],
      ['root.json', root],
      ...listed.map(([file, bytes]) => [`1.${file}`, bytes] as const),
      ['1.snapshot.json', snapshot],
      ['timestamp.json', timestamp],
    ]),
    objects: new Map([[director.target.hashes.sha256, director.bytes]]),
  }
}

function signFirstRoot(ceremony: Ceremony): Uint8Array {
  const { root, targets, snapshot, timestamp, rootThreshold } = ceremony
  const signers = [...root, targets, snapshot, timestamp]
  const one = (key: SigningKey): RoleKeys => ({ keyids: [key.id], threshold: 1 })
  return signRoot(
    {
      version: 1,
      expires: instant(ceremony.nowMs + OFFLINE_DAYS.root * DAY_MS),
      keys: Object.fromEntries(signers.map((key) => [key.id, key.json])),
      roles: {
        root: { keyids: root.map(({ id }) => id), threshold: rootThreshold },
        targets: one(targets),
        snapshot: one(snapshot),
        timestamp: one(timestamp),
      },
    },
    root,
  )
}

/** A family is its publisher's alone: what matches its path is looked for nowhere else. */
export function delegationOf(family: string, key: SigningKey): DelegatedRoleFields {
  return {
    name: family,
    keyids: [key.id],
    threshold: 1,
    paths: [`models/${family}/*/*`],
    terminating: true,
  }
}

export function directorTarget(keys: readonly SigningKey[]): { target: TargetFields; bytes: Uint8Array } {
  const bytes = encodeDirectors(keys)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { target: { length: bytes.length, hashes: { sha256 } }, bytes }
}
