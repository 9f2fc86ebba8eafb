import { readPackage, servedName } from '../package.ts'
import type { Parts } from '../parts.ts'
import type { Package } from '../ports.ts'
import { OK, rejected, type Step, type StepResult } from '../step.ts'
import type { Update } from '../update.ts'
import { gone } from './gone.ts'

const MIB = 1024 ** 2

/** Whether this device can take the version: before a byte of it is asked for. */
export function createPlan(parts: Parts): Step {
  return async ({ update }) => {
    const wanted = await readPackage(parts, update)
    if (wanted === undefined) return gone(update)
    return (
      nameTaken(parts, update) ??
      quarantined(parts, update) ??
      (await noSpace(parts, wanted)) ??
      (await noMemory(parts, wanted)) ??
      OK
    )
  }
}

/** The data plane knows models without their family. */
function nameTaken({ journal }: Parts, { model, rev }: Update): StepResult | undefined {
  const models = journal.assignment?.models ?? []
  const other = models.find((each) => each.model !== model && servedName(each.model) === servedName(model))
  if (other === undefined) return undefined
  return rejected(
    'name_taken',
    `rev ${rev} assigns ${other.model} as well, and both would be served as "${servedName(model)}"`,
  )
}

function quarantined({ journal }: Parts, { manifest }: Update): StepResult | undefined {
  const entry = journal.quarantined().find((each) => each.manifest === manifest)
  if (entry === undefined) return undefined
  return rejected('quarantined', `this very version has failed here before: ${entry.code}: ${entry.reason}`)
}

async function noSpace({ store }: Parts, wanted: Package): Promise<StepResult | undefined> {
  const { neededBytes, freeBytes } = await store.space(wanted)
  if (neededBytes <= freeBytes) return undefined
  const madeBytes = await store.makeRoom(neededBytes)
  if (neededBytes <= madeBytes) return undefined
  return rejected(
    'no_space',
    `${neededBytes} bytes are needed, ${madeBytes} are free once all that may go has gone`,
  )
}

async function noMemory({ host }: Parts, { variant }: Package): Promise<StepResult | undefined> {
  const neededBytes = variant.needs.memory_mb * MIB
  const freeBytes = await host.freeMemoryBytes()
  if (neededBytes <= freeBytes) return undefined
  return rejected(
    'no_memory',
    `the variant "${variant.name}" needs ${neededBytes} bytes of memory, ${freeBytes} are free`,
  )
}
