import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { readEngineBoard } from '../config/engine-board.ts'
import type { ProfileChoice } from '../config/profile-choice.ts'
import { EngineCache } from '../engines/cache.ts'
import { systemClock } from '../kit/clock.ts'
import type { Family } from '../kit/metrics-text.ts'
import type { EngineParts } from '../runtime/kept-sessions.ts'

const FOLDER = 'engines'

interface Where {
  readonly config: Config
  readonly profile: ProfileChoice
  readonly state: string
}

/** "keeper": the process that serves, which makes room for what comes. "guest": one that adds what fits. */
export type EngineRole = 'keeper' | 'guest'

/** Where what is made of models is kept; undefined where nothing is to be. */
export async function openEngines(from: Where, role: EngineRole): Promise<EngineParts | undefined> {
  const { policy, bytesMax } = enginePolicy(from)
  if (policy === 'off' || bytesMax === 0) return undefined
  const cache = await EngineCache.open({
    folder: engineFolder(from.state),
    bytesMax,
    isKeeper: role === 'keeper',
    clock: systemClock,
  })
  return { cache, board: readEngineBoard('/', from.profile.facts) }
}

export function engineFolder(state: string): string {
  return join(state, FOLDER)
}

/** What the config says, else the profile. */
export function enginePolicy({ config, profile }: Pick<Where, 'config' | 'profile'>) {
  const { engine_cache: said } = config
  const { engine_cache: otherwise } = profile.profile
  return { policy: said.policy ?? otherwise.policy, bytesMax: said.bytes_max ?? otherwise.bytes_max }
}

export function engineFamilies(engines: EngineParts | undefined): Family[] {
  if (engines === undefined) return []
  const { hits, misses, kept, invalid, evicted, failed, unfit } = engines.cache.counts
  const outcomes = { hit: hits, miss: misses, unfit }
  const changes = { kept, invalid, evicted, failed }
  const samples = (label: string, counts: Record<string, number>) =>
    Object.entries(counts).map(([word, value]) => ({ labels: { [label]: word }, value }))
  return [
    {
      name: 'limpet_engine_cache_loads_total',
      help: 'Loads by what was kept of the model: a hit spares the work, a miss does it, unfit is what nothing can be kept of',
      type: 'counter',
      samples: samples('outcome', outcomes),
    },
    {
      name: 'limpet_engine_cache_entries_total',
      help: 'Entries that were kept, found invalid and removed, removed to make room, or could not be kept',
      type: 'counter',
      samples: samples('change', changes),
    },
    {
      name: 'limpet_engine_cache_usable',
      help: '1 while what is made of models can be kept on the disk',
      type: 'gauge',
      samples: [{ labels: {}, value: engines.cache.problem === undefined ? 1 : 0 }],
    },
  ]
}
