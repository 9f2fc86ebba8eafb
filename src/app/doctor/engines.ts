import { EngineCache } from '../../engines/cache.ts'
import { engineFolder, enginePolicy } from '../engines.ts'
import { findProfile } from '../profile.ts'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

const MIB = 1024 ** 2
/** More than a person would read. */
const NAMED_MAX = 20
/** Hashing so much takes a few seconds; what is beyond is hashed when it is used. */
const CHECKED_BYTES_MAX = 2 * 1024 ** 3

export interface EngineFacts {
  readonly isOff: boolean
  /** Why what is kept is not used; undefined where it is. */
  readonly problem: string | undefined
  readonly bytesMax: number
  readonly bytes: number
  readonly count: number
  readonly named: readonly EngineFact[]
}

interface EngineFact {
  readonly key: string
  readonly madeFor: string
  readonly kind: string
  readonly bytes: number
  readonly broken: string | undefined
  readonly unfit: string | undefined
}

/** What is kept of models on the disk, and whether it is still what was written. */
export async function lookAtEngines({ config, state, clock }: Context): Promise<EngineFacts> {
  const profile = await findProfile(config)
  const { policy, bytesMax } = enginePolicy({ config, profile })
  const nothing = { isOff: false, problem: undefined, bytesMax, bytes: 0, count: 0, named: [] }
  if (policy === 'off' || bytesMax === 0) return { ...nothing, isOff: true }
  const cache = await EngineCache.look({ folder: engineFolder(state), bytesMax, clock })
  if (cache.problem !== undefined) return { ...nothing, problem: cache.problem }
  const entries = await cache.list()
  const named: EngineFact[] = []
  let checkedBytes = 0
  for (const { key, bytes, manifest } of entries.slice(0, NAMED_MAX)) {
    checkedBytes += bytes
    named.push({
      key: key.slice(0, 12),
      madeFor: manifest?.madeFor ?? 'unknown',
      kind: manifest?.facts.kind ?? '',
      bytes,
      broken: checkedBytes > CHECKED_BYTES_MAX ? undefined : await cache.check(key),
      unfit: manifest?.unfit,
    })
  }
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  return { ...nothing, bytes, count: entries.length, named }
}

const { ok, note, fault } = checksOf('engines')

export function judgeEngines({ isOff, problem, bytesMax, bytes, count, named }: EngineFacts): Check[] {
  if (isOff)
    return [
      note('off', 'nothing made of models is kept: each start makes it anew (engine_cache.policy is "off")'),
    ]
  if (problem !== undefined)
    return [
      fault('unusable', `what is kept of models is not used: ${problem}`, {
        fix: 'run this as the user that serves',
      }),
    ]
  const facts = { count, bytes, bytes_max: bytesMax }
  return [
    ok('kept', `${count} kept for the next start, ${mib(bytes)} of ${mib(bytesMax)}`, { facts }),
    ...named.map(judgeEngine),
  ]
}

function judgeEngine({ key, madeFor, kind, bytes, broken, unfit }: EngineFact): Check {
  const name = `${madeFor} (${key})`
  const facts = { key, made_for: madeFor, kind, bytes }
  if (broken !== undefined)
    return fault('broken', `${name}: ${broken}; it is removed and made anew when it is needed`, { facts })
  if (unfit) return note('unfit', `${name}: nothing can be kept of it: ${unfit}`, { facts })
  return ok('engine', `${name}: ${kind}, ${mib(bytes)}`, { facts })
}

const mib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`
