import { OFFLINE_DAYS } from './ceremony.ts'
import type { PublicKeyJson, SigningKey } from './key.ts'
import { nextOf, readRoot, readSignerIds } from './metadata-fields.ts'
import { addSignatures, type RootFields, signRoot } from './sign-metadata.ts'

/** What the holders of root keys change: the next root, and how far it is signed. */

/** The root with other keys for one of its roles, not signed yet. */
export function rekeyRoot(
  root: RootFields,
  change: { role: keyof RootFields['roles']; keys: readonly SigningKey[]; nowMs: number },
): Uint8Array {
  const roles = {
    ...root.roles,
    [change.role]: { keyids: change.keys.map(({ id }) => id), threshold: root.roles[change.role].threshold },
  }
  const wanted = new Set(Object.values(roles).flatMap(({ keyids }) => keyids))
  const known: Record<string, PublicKeyJson> = {
    ...root.keys,
    ...Object.fromEntries(change.keys.map((key) => [key.id, key.json])),
  }
  const keys = Object.fromEntries(Object.entries(known).filter(([id]) => wanted.has(id)))
  return signRoot({ ...nextOf(root, { days: OFFLINE_DAYS.root, nowMs: change.nowMs }), keys, roles }, [])
}

/** The same root for longer, not signed yet. */
export function renewRoot(root: RootFields, nowMs: number): Uint8Array {
  return signRoot({ ...root, ...nextOf(root, { days: OFFLINE_DAYS.root, nowMs }) }, [])
}

/** How far a draft of a root is: what has signed it, of those that the root before it and the draft itself name. */
export interface RootProgress {
  readonly bytes: Uint8Array
  readonly byOld: { readonly signed: number; readonly needed: number }
  readonly byNew: { readonly signed: number; readonly needed: number }
  readonly isComplete: boolean
}

/** Adds what signatures can be made with these keys. Only keys that one of the two roots names are used. */
export function signRootDraft(
  draft: Uint8Array,
  { old, keys }: { old: RootFields; keys: readonly SigningKey[] },
): RootProgress {
  const named = new Set([...old.roles.root.keyids, ...readRoot(draft).roles.root.keyids])
  const bytes = addSignatures(
    'root',
    draft,
    keys.filter(({ id }) => named.has(id)),
  )
  const next = readRoot(bytes)
  const signers = readSignerIds(bytes)
  const count = ({ roles }: Pick<RootFields, 'roles'>) => ({
    signed: roles.root.keyids.filter((id) => signers.has(id)).length,
    needed: roles.root.threshold,
  })
  const byOld = count(old)
  const byNew = count(next)
  return { bytes, byOld, byNew, isComplete: byOld.signed >= byOld.needed && byNew.signed >= byNew.needed }
}
