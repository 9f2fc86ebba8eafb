import type { Config } from '../config/config.ts'
import type { ProfileChoice } from '../config/profile-choice.ts'
import { EngineCache } from '../engines/cache.ts'
import { systemClock } from '../kit/clock.ts'
import type { Add } from './doctor.ts'
import { engineFolder, enginePolicy } from './engines.ts'

const MIB = 1024 ** 2
/** More than a person would read. */
const NAMED_MAX = 20
/** Hashing so much takes a few seconds; what is beyond is hashed when it is used. */
const CHECKED_BYTES_MAX = 2 * 1024 ** 3

/** What is kept of models on the disk, and whether it is still what was written. Changes nothing. */
export async function examineEngines(
  from: { config: Config; profile: ProfileChoice; state: string },
  add: Add,
): Promise<void> {
  const { policy, bytesMax } = enginePolicy(from)
  if (policy === 'off' || bytesMax === 0) {
    add(
      'engines',
      'note',
      'nothing made of models is kept: each start makes it anew (engine_cache.policy is "off")',
    )
    return
  }
  const cache = await EngineCache.look({ folder: engineFolder(from.state), bytesMax, clock: systemClock })
  if (cache.problem !== undefined) {
    add(
      'engines',
      'bad',
      `what is kept of models is not used: ${cache.problem}; run this as the user that serves`,
    )
    return
  }
  const entries = await cache.list()
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  const room = `${mib(bytes)} of ${mib(bytesMax)}`
  add('engines', 'good', `${entries.length} kept for the next start, ${room}`)
  let checkedBytes = 0
  for (const { key, bytes: size, manifest } of entries.slice(0, NAMED_MAX)) {
    checkedBytes += size
    const broken = checkedBytes > CHECKED_BYTES_MAX ? undefined : await cache.check(key)
    const name = `${manifest?.madeFor ?? 'unknown'} (${key.slice(0, 12)})`
    if (broken !== undefined)
      add('engines', 'bad', `${name}: ${broken}; it is removed and made anew when it is needed`)
    else if (manifest?.unfit) add('engines', 'note', `${name}: nothing can be kept of it: ${manifest.unfit}`)
    else add('engines', 'good', `${name}: ${manifest?.facts.kind ?? ''}, ${mib(size)}`)
  }
}

const mib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`
