import type { Config } from '../../config/config.ts'
import type { Clock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { Link } from '../../link/link.ts'
import { decodeChunk } from '../../store/chunks/stored-chunk.ts'
import type { Disk } from './disk.ts'
import type { Enrolment } from './enrolment.ts'
import { linkOptions } from './link-options.ts'

/** The line to the registry, with what the device says of itself filled in later. */
export interface OpenLink {
  readonly link: Link
  describe: () => object
}

export async function openLink(parts: {
  enrolment: Enrolment
  config: Config
  disk: Disk
  clock: Clock
}): Promise<OpenLink> {
  const { enrolment, config, disk, clock } = parts
  const open: { describe: () => object } = { describe: () => ({}) }
  const link = new Link({
    options: await linkOptions(enrolment, config.registry),
    clock,
    random: systemRandom,
    outbox: disk.outbox,
    decode: decodeChunk,
    describe: () => open.describe(),
  })
  return Object.assign(open, { link })
}
