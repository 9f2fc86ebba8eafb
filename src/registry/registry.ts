import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { writeDurably } from '../kit/durable-file.ts'
import type { Random } from '../kit/random.ts'
import { MetadataFolder } from '../trust/metadata-files.ts'
import { DEFAULT_EXPIRY, TufRepository } from '../trust/repository.ts'
import { Alerts } from './alerts.ts'
import { ApiKeys } from './api-keys.ts'
import { Assignments } from './assignments.ts'
import { Audit } from './audit.ts'
import { Census } from './census.ts'
import { Commands } from './commands.ts'
import { Desired } from './desired-sources.ts'
import { Devices } from './devices.ts'
import { Director } from './director.ts'
import { Endpoints } from './endpoints.ts'
import { Enrolment } from './enrolment.ts'
import { FamiliesSeen } from './families-seen.ts'
import { FleetView } from './fleet-view.ts'
import { LiveFeed } from './live.ts'
import { Liveness } from './liveness.ts'
import { Objects } from './objects.ts'
import { readKeys } from './online-keys.ts'
import { Packs } from './packs.ts'
import { Published } from './published.ts'
import { Rollouts } from './rollouts.ts'
import { migrate } from './schema.ts'
import { Sessions } from './session.ts'
import { type TelemetryLimits, TelemetryStore } from './telemetry.ts'
import { Traffic } from './traffic.ts'
import { Uploads } from './uploads.ts'

export interface RegistrySources {
  /** Packs, objects, metadata and the registry's own keys are below it. */
  readonly folder: string
  readonly database: Database
  readonly clock: Clock
  readonly random: Random
  /** Without them, the usual ones. */
  readonly telemetryLimits?: TelemetryLimits
}

/** What the registry keeps, opened in the order in which the parts need each other. */
export interface Registry {
  readonly keys: ApiKeys
  readonly sessions: Sessions
  readonly audit: Audit
  readonly devices: Devices
  readonly enrolment: Enrolment
  readonly packs: Packs
  readonly objects: Objects
  readonly repository: TufRepository
  readonly published: Published
  readonly familiesSeen: FamiliesSeen
  readonly director: Director
  readonly assignments: Assignments
  readonly commands: Commands
  readonly uploads: Uploads
  readonly desired: Desired
  readonly rollouts: Rollouts
  /** Told by the others of each change. */
  readonly live: LiveFeed
  readonly liveness: Liveness
  readonly alerts: Alerts
  readonly fleet: FleetView
  readonly telemetry: TelemetryStore
  readonly endpoints: Endpoints
  readonly census: Census
  readonly traffic: Traffic
}

export async function openRegistry(sources: RegistrySources): Promise<Registry> {
  const { folder, database, clock } = sources
  transact(database, () => migrate(database))
  const live = new LiveFeed()
  const liveness = new Liveness(sources)
  const alerts = new Alerts({
    ...{ database, clock, live },
    clockOffsetMs: (device) => liveness.last(device)?.clockOffsetMs ?? null,
  })
  const devices = new Devices({ ...sources, live, alerts })
  const packs = await Packs.open(join(folder, 'packs'), sources)
  const objects = await Objects.open(join(folder, 'objects'), { packs })
  const repository = openRepository(folder, { clock, objects })
  const director = new Director(repository)
  const published = new Published({ repository, objects, packs })
  const desired = new Desired(database)
  const assignments = new Assignments({
    ...{ database, clock, live, desired },
    sign: (payload) => director.signAssignment(payload),
  })
  return {
    keys: new ApiKeys(sources),
    sessions: new Sessions(sources),
    audit: new Audit({ ...sources, live }),
    devices,
    enrolment: new Enrolment({ ...sources, devices }),
    packs,
    objects,
    repository,
    published,
    familiesSeen: new FamiliesSeen(sources),
    director,
    assignments,
    desired,
    rollouts: new Rollouts({
      ...{ database, clock, live, assignments, desired },
      isAlive: (device) => liveness.isAlive(device),
      alertOf: (device, afterMs) => alerts.criticalSince(device, afterMs),
      resolve: (wanted) => published.resolve(wanted),
    }),
    commands: new Commands({ ...sources, live }),
    uploads: await Uploads.open(join(folder, 'uploads'), sources),
    live,
    liveness,
    alerts,
    fleet: new FleetView({ ...sources, liveness, alerts }),
    telemetry: new TelemetryStore({
      database,
      clock,
      ...(sources.telemetryLimits !== undefined && { limits: sources.telemetryLimits }),
    }),
    endpoints: new Endpoints(sources),
    census: new Census({ database, liveness }),
    traffic: new Traffic(sources),
  }
}

function openRepository(
  folder: string,
  { clock, objects }: { clock: Clock; objects: Objects },
): TufRepository {
  return new TufRepository({
    files: new MetadataFolder(join(folder, 'tuf')),
    readKeys: () => readKeys(join(folder, 'keys')),
    readObject: (sha256) => objects.read(sha256),
    clock,
    expiry: DEFAULT_EXPIRY,
  })
}

/**
 * Where there is no key at all, the first admin's lies in a file that only its owner can read. The file is written
 * first: a power cut in between leaves a file that opens nothing, and the next start writes it again.
 */
export async function makeFirstKey(keys: ApiKeys, folder: string): Promise<string | undefined> {
  if (keys.list().length > 0) return undefined
  const path = join(folder, 'admin.key')
  const pending = keys.prepare({ name: 'first', role: 'admin' })
  await writeDurably(path, Buffer.from(`${pending.text}\n`), 0o600)
  pending.keep()
  return path
}
