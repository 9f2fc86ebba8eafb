import { rm } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { type Database, damageOf, isDamage, openDatabase } from '../../kit/database.ts'
import { makeFolderDurably, moveFileDurably } from '../../kit/durable-file.ts'
import { messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { Outbox } from '../../link/outbox.ts'
import { Journal } from '../../ota/journal.ts'
import { Pointer } from '../../store/pointer.ts'
import { Seeds } from '../../store/seeds.ts'
import { Space } from '../../store/space.ts'
import { Staging } from '../../store/staging.ts'
import { Versions } from '../../store/versions.ts'
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
  { clock, builtIn, outboxBytesMax }: { clock: Clock; builtIn: string | undefined; outboxBytesMax: number },
): Promise<Disk> {
  await makeFolderDurably(folders.versions)
  await makeFolderDurably(folders.work)
  const database = await openSound(folders.database)
  const outbox = new Outbox({ database, clock, random: systemRandom, bytesMax: outboxBytesMax })
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

/**
 * A database that is damaged is put aside and begun anew: what serves is in the pointers, what may run in the metadata of
 * trust, and what should run is asked for again. An agent that does not start for good would help nobody.
 */
async function openSound(path: string): Promise<Database> {
  const opened = openOrDamage(path)
  if (typeof opened !== 'string') return opened
  logger('ota').error('ota.database_damaged', { path, reason: opened })
  for (const suffix of ['-wal', '-shm']) await rm(`${path}${suffix}`, { force: true })
  await moveFileDurably(path, `${path}.damaged`)
  return openDatabase(path)
}

function openOrDamage(path: string): Database | string {
  try {
    const database = openDatabase(path)
    const damage = damageOf(database)
    if (damage === undefined) return database
    database.close()
    return damage
  } catch (error) {
    if (isDamage(error)) return messageOf(error)
    throw error
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
