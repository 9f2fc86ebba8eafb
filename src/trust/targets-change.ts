import { EdgeError } from '../kit/errors.ts'
import { delegationOf, directorTarget } from './ceremony.ts'
import { FLOORS_FIELD } from './family-targets.ts'
import type { SigningKey } from './key.ts'
import type { ListedManifest } from './manifest.ts'
import { METADATA_BOUNDS } from './metadata-bounds.ts'
import { nextOf } from './metadata-fields.ts'
import { DIRECTOR_TARGET, manifestTarget } from './names.ts'
import { signTargets, type TargetsFields } from './sign-metadata.ts'

/** What the holder of the targets key, or a publisher, changes: the next version, made of the last one. */

/** The top-level targets with a family of its own for this key, in place of the key it had before, if any. */
export function delegateFamily(
  targets: TargetsFields,
  { family, key }: { family: string; key: SigningKey },
): TargetsFields {
  const before = targets.delegations ?? { keys: {}, roles: [] }
  const others = before.roles.filter(({ name }) => name !== family)
  const roles = [...others, delegationOf(family, key)]
  const wanted = new Set(roles.flatMap(({ keyids }) => keyids))
  const keys = Object.entries({ ...before.keys, [key.id]: key.json }).filter(([id]) => wanted.has(id))
  return { ...targets, delegations: { keys: Object.fromEntries(keys), roles } }
}

export function nameDirector(targets: TargetsFields, keys: readonly SigningKey[]) {
  const { target, bytes } = directorTarget(keys)
  return {
    targets: { ...targets, targets: { ...targets.targets, [DIRECTOR_TARGET]: target } },
    object: bytes,
  }
}

/** A family's targets with one version more. The release has to be a new one: it is what orders versions. */
export function listVersion(targets: TargetsFields, listed: ListedManifest): TargetsFields {
  const path = manifestTarget(listed.model, listed.version)
  const target = {
    length: listed.bytes,
    hashes: { sha256: listed.sha256 },
    custom: { release: listed.release },
  }
  return { ...targets, targets: { ...targets.targets, [path]: target } }
}

export function unlistVersion(
  targets: TargetsFields,
  { model, version }: { model: string; version: string },
): TargetsFields {
  const { [manifestTarget(model, version)]: _removed, ...others } = targets.targets
  return { ...targets, targets: others }
}

/** No release of the model under this one runs any more, whoever assigns it. What was withdrawn stays withdrawn. */
export function raiseFloor(
  targets: TargetsFields,
  { model, release }: { model: string; release: number },
): TargetsFields {
  const floors = targets[FLOORS_FIELD] ?? {}
  const before = floors[model] ?? 0
  if (release < before) {
    throw new EdgeError(
      'input_invalid',
      `Cannot lower the security floor of ${model} to ${release}: it is ${before}`,
    )
  }
  return { ...targets, [FLOORS_FIELD]: { ...floors, [model]: release } }
}

/** The next version of a role of targets, signed; where there is none yet, the first. */
export function signNextTargets(
  targets: TargetsFields,
  { keys, days, nowMs }: { keys: readonly SigningKey[]; days: number; nowMs: number },
): Uint8Array {
  const bytes = signTargets({ ...targets, ...nextOf(targets, { days, nowMs }) }, keys)
  const count = Object.keys(targets.targets).length
  if (count <= METADATA_BOUNDS.targetsMax && bytes.length <= METADATA_BOUNDS.targetsBytesMax) return bytes
  throw new EdgeError(
    'input_invalid',
    `Cannot sign so many targets: ${count} in ${bytes.length} bytes, at most ${METADATA_BOUNDS.targetsMax} in ` +
      `${METADATA_BOUNDS.targetsBytesMax}; remove old versions, or begin a new family`,
  )
}
