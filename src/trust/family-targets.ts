import type { TargetFile, Targets } from '@tufjs/models'
import { z } from 'zod'
import { type ListedManifest, MANIFEST_BYTES_MAX } from './manifest.ts'
import { splitModel, splitTarget } from './names.ts'
import { TrustRefusal } from './refusal.ts'

/** Beside the targets of a role: the lowest release of a model that may still run. Signed with them. */
export const FLOORS_FIELD = 'limpet_floors'

const Release = z
  .int()
  .min(1)
  .max(2 ** 40)
const Listed = z.object({
  length: z.int().min(1).max(MANIFEST_BYTES_MAX),
  hashes: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  custom: z.object({ release: Release }),
})
const Floors = z
  .record(z.string(), Release)
  .refine((floors) => Object.keys(floors).length <= 500, { error: 'at most 500' })
  .default({})

/** A target as a manifest, or a refusal: a publisher's tool is wrong, or it is not one of ours. */
export function listedManifest(target: TargetFile): ListedManifest {
  const name = splitTarget(target.path)
  const listed = Listed.safeParse({
    length: target.length,
    hashes: target.hashes,
    custom: target.unrecognizedFields['custom'],
  })
  if (name === undefined || !listed.success) {
    throw new TrustRefusal(
      'metadata_malformed',
      `Cannot take the target "${target.path}": expected models/FAMILY/NAME/VERSION.json with a sha256 and custom.release`,
    )
  }
  const { length, hashes, custom } = listed.data
  return { ...name, release: custom.release, sha256: hashes.sha256, bytes: length }
}

/** Everything that a family has published; each release of a model stands for one version. */
export function listFamily(family: string, { targets }: Targets): ListedManifest[] {
  const listed = Object.values(targets).map(listedManifest)
  const seen = new Set<string>()
  for (const { model, version, release } of listed) {
    const isOwn = splitModel(model)?.family === family
    const key = `${model} ${release}`
    if (!isOwn || seen.has(key)) {
      const what = isOwn ? `release ${release} of ${model} is there twice` : `${model} is of another family`
      throw new TrustRefusal(
        'metadata_malformed',
        `Cannot take ${model} ${version} from the family "${family}": ${what}`,
      )
    }
    seen.add(key)
  }
  return listed.sort(
    (one, other) =>
      (one.model < other.model ? -1 : 1) * (one.model === other.model ? 0 : 1) || one.release - other.release,
  )
}

/** 0 where the role says nothing of the model. */
export function floorIn(targets: Targets, model: string): number {
  return readFloors(targets)[model] ?? 0
}

export function readFloors(targets: Targets): Readonly<Record<string, number>> {
  const floors = Floors.safeParse(targets.unrecognizedFields[FLOORS_FIELD])
  if (floors.success) return floors.data
  throw new TrustRefusal(
    'metadata_malformed',
    `Cannot read "${FLOORS_FIELD}": ${z.prettifyError(floors.error)}`,
  )
}
