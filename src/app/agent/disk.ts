import type { Clock } from '../../kit/clock.ts'
import { type Database, openDatabase } from '../../kit/database.ts'
import { makeFolderDurably } from '../../kit/durable-file.ts'
import { unpackEmbedded } from '../../kit/embedded-file.ts'
import { systemRandom } from '../../kit/random.ts'
import { Outbox } from '../../link/outbox.ts'
import { Journal } from '../../ota/journal.ts'
import { Pointer } from '../../store/pointer.ts'
import { Seeds } from '../../store/seeds.ts'
import { Space } from '../../store/space.ts'
import { Staging } from '../../store/staging.ts'
import { Versions } from '../../store/versions.ts'
import { EMBEDDED } from '../embedded.ts'
import { unpackFolder } from '../runtime.ts'
import type { DeviceFolders } from './folders.ts'

/** All that the agent keeps, opened in the order in which the parts need each other. */
export interface Disk {
  readonly database: Database
  readonly outbox: Outbox
  /** Called whenever an update has changed, within the transaction: only to wake somebody. */
  readonly events: { onPut: () => void }
  readonly journal: Journal
  readonly seeds: Seeds
  readonly staging: Staging
  readonly versions: Versions
  readonly pointer: Pointer
  readonly space: Space
  readonly builtIn: string | undefined
}

export async function openDisk(
  folders: DeviceFolders,
  { clock, builtIn }: { clock: Clock; builtIn: string | undefined },
): Promise<Disk> {
  await makeFolderDurably(folders.versions)
  await makeFolderDurably(folders.work)
  const addonPath = await unpackEmbedded(EMBEDDED.sqlite, unpackFolder(folders.state))
  const database = openDatabase({ addonPath, path: folders.database })
  const outbox = new Outbox({ database, clock, random: systemRandom })
  const events: Disk['events'] = { onPut: () => undefined }
  const port = {
    put: (event: object) => {
      outbox.put(event)
      events.onPut()
    },
  }
  const seeds = new Seeds({ database, root: folders.versions })
  const versions = new Versions({ root: folders.versions, seeds })
  return {
    database,
    outbox,
    events,
    journal: new Journal({ database, clock, outbox: port }),
    seeds,
    staging: new Staging({ work: folders.work, database, clock }),
    versions,
    pointer: new Pointer({ models: folders.models, database }),
    space: new Space({ root: folders.versions, versions }),
    builtIn,
  }
}

/** For the start, when nobody writes yet: lets go of what was cut off, and of what nothing leads to. */
export async function sweepDisk(
  { journal, staging, versions, pointer }: Disk,
  names: readonly string[],
): Promise<void> {
  await pointer.sweep()
  const pointed = await Promise.all(names.map((name) => pointer.read(name)))
  await versions.sweep(new Set(pointed.filter((place) => place !== undefined)))
  await staging.keepOnly(new Set(journal.working().map(({ manifest }) => manifest)))
}
