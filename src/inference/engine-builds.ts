import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Backend } from '../runtime/backend.ts'
import type { Lane } from './lane.ts'
import type { LaneTable } from './lane-table.ts'
import type { LanePlan } from './open-lane.ts'

interface Parts {
  readonly backend: Backend
  readonly table: LaneTable
  /** Puts a new lane in the place of the one that serves, beside it. */
  readonly reload: (plan: LanePlan) => Promise<unknown>
}

/**
 * Versions that serve without a provider while that compiles them. It takes minutes, so nothing of the lanes is held
 * meanwhile: they may be unloaded, loaded again, or make room for others, and then the engine is there for the next time.
 */
export class EngineBuilds {
  readonly #parts: Parts
  readonly #log: Logger = logger('inference')

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Whether the version could serve at once without what has to be built first. */
  async isDue({ source, session }: LanePlan): Promise<boolean> {
    if (session.engineCache !== 'keep') return false
    return (await this.#parts.backend.wouldBuild?.(source, session)) ?? false
  }

  /** Until the version serves with its engine, or cannot, or does not serve any more. */
  async build(plan: LanePlan): Promise<void> {
    const { backend, table, reload } = this.#parts
    const { model, version } = plan
    const lane = table.lane(model, version)
    if (lane === undefined) return
    try {
      await backend.build?.(plan.source, plan.session, (what) => this.#tell(lane, what))
      if (table.lane(model, version) === lane) await reload(plan)
    } catch (error) {
      const reason = messageOf(error)
      this.#log.error('inference.engine_not_built', { model, version, reason })
      this.#tell(lane, `building it failed: ${reason}`)
    }
  }

  #tell(lane: Lane, what: string): void {
    const { table } = this.#parts
    const { model, version } = lane
    if (table.lane(model, version) !== lane) return
    table.set({ model, version, state: 'READY', reason: `serves without its engine: ${what}` }, lane)
  }
}

/** The same version by those of its providers that need not compile it first. */
export function withoutBuilding(plan: LanePlan): LanePlan {
  return { ...plan, session: { ...plan.session, engineCache: 'found' } }
}

/** What takes over comes beside what serves: who serves already is not let go for it. */
export function takingOver(plan: LanePlan): LanePlan {
  return { ...plan, life: { ...plan.life, swap: 'keep_both' } }
}
