import type { Config } from '../../config/config.ts'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError } from '../../kit/errors.ts'
import { giveBack } from '../../kit/give-back.ts'
import { systemRandom } from '../../kit/random.ts'
import { Link } from '../../link/link.ts'
import { TelemetryOutbox } from '../../link/telemetry-outbox.ts'
import { decodeChunk, type StoredChunk } from '../../store/chunks/stored-chunk.ts'
import type { Disk } from './disk.ts'
import type { Enrolment } from './enrolment.ts'
import { linkOptions } from './link-options.ts'

const DAY_MS = 86_400_000

/** The line to the registry, with what the device says of itself filled in later. */
export interface OpenLink {
  readonly link: Link
  readonly telemetry: TelemetryOutbox
  describe: () => object
  /** What each heartbeat tells. */
  live: () => object
}

export async function openLink(parts: {
  enrolment: Enrolment
  config: Config
  disk: Disk
  clock: Clock
}): Promise<OpenLink> {
  const { enrolment, config, disk, clock } = parts
  const open: Pick<OpenLink, 'describe' | 'live'> = { describe: () => ({}), live: () => ({}) }
  const telemetry = new TelemetryOutbox({
    database: disk.database,
    clock,
    events: disk.outbox,
    bytesMax: config.health.outbox_bytes_max,
    ageMsMax: config.health.outbox_days * DAY_MS,
  })
  const link = new Link({
    options: await linkOptions(enrolment, config.registry),
    clock,
    random: systemRandom,
    outbox: disk.outbox,
    decode: unpack,
    telemetry,
    describe: () => open.describe(),
    live: () => open.live(),
  })
  return Object.assign(open, { link, telemetry })
}

/** What does not unpack is given as it came: its hash says that it is wrong, and that counts against who gave it. */
function unpack(stored: StoredChunk, length: number): Uint8Array {
  try {
    const plain = decodeChunk(stored, length)
    if (plain !== stored.bytes) giveBack(stored.bytes)
    return plain
  } catch (error) {
    if (!(error instanceof EdgeError)) throw error
    return stored.bytes
  }
}
