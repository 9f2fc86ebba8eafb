import { OFFLINE_DAYS } from '../trust/ceremony.ts'
import type { TrustClient } from '../trust/client.ts'
import { FLOORS_FIELD } from '../trust/family-targets.ts'
import type { SigningKey } from '../trust/key.ts'
import { readTargets } from '../trust/metadata-fields.ts'
import { splitTarget } from '../trust/names.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import type { TargetsFields } from '../trust/sign-metadata.ts'
import { signNextTargets } from '../trust/targets-change.ts'
import type { TrustView } from '../trust/view.ts'
import { requirePublisher } from './publish.ts'
import type { RegistryClient } from './registry-client.ts'

export interface CatchUpPorts {
  readonly registry: RegistryClient
  readonly trust: TrustClient
  readonly key: SigningKey
  readonly print: (line: string) => void
}

/**
 * The newest metadata, to publish on top of. A registry that was restored from an old copy has forgotten what was signed
 * since, and gives what this machine refuses, as devices do: then it is told what it has forgotten first.
 */
export async function publisherView(family: string, ports: CatchUpPorts): Promise<TrustView> {
  const { registry, trust } = ports
  try {
    return await trust.refresh(registry)
  } catch (error) {
    if (!(error instanceof TrustRefusal) || error.reason !== 'metadata_rolled_back') throw error
    ports.print(`the registry has forgotten what was signed: ${error.message}`)
    await catchUp(family, ports)
    return await trust.refresh(registry)
  }
}

/** Its own signatures first, then what the family's publisher has signed, as far as the bytes are still there. */
async function catchUp(family: string, ports: CatchUpPorts): Promise<void> {
  const { registry, trust, key, print } = ports
  const timestamp = await trust.kept('timestamp')
  if (timestamp !== undefined) await registry.postMetadata('timestamp', timestamp)
  const there = await trust.look(registry)
  requirePublisher(there, { family, key })
  const bytes = await trust.kept(family)
  if (bytes === undefined) return
  const [kept, before] = [readTargets(bytes), await there.familyFields(family)]
  if (before.version >= kept.version) return
  const lost = new Set(await registry.missingTargets(family, bytes))
  const next = mergeForgotten(kept, { before, lost })
  const signed = signNextTargets(next, { keys: [key], days: OFFLINE_DAYS.family, nowMs: trust.now().ms })
  await registry.postMetadata(family, signed)
  print(
    `${family} is signed again as version ${kept.version + 1}; the registry had version ${before.version}`,
  )
  for (const path of lost) print(`lost at the registry, push it again: ${nameOf(path)}`)
  for (const path of Object.keys(before.targets))
    if (!Object.hasOwn(next.targets, path) && !lost.has(path))
      print(`not listed any more, as it was before: ${nameOf(path)}`)
}

/** What was removed stays removed, and no floor gets lower. */
export function mergeForgotten(
  kept: TargetsFields,
  { before, lost }: { before: TargetsFields; lost: ReadonlySet<string> },
): TargetsFields {
  const floors = { ...before[FLOORS_FIELD] }
  for (const [model, release] of Object.entries(kept[FLOORS_FIELD] ?? {}))
    floors[model] = Math.max(release, floors[model] ?? 0)
  return {
    ...kept,
    targets: Object.fromEntries(Object.entries(kept.targets).filter(([path]) => !lost.has(path))),
    ...(Object.keys(floors).length > 0 && { [FLOORS_FIELD]: floors }),
  }
}

function nameOf(path: string): string {
  const name = splitTarget(path)
  return name === undefined ? path : `${name.model} ${name.version}`
}
