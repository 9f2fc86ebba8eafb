import type { Database } from '../kit/database.ts'
import { logger } from '../kit/log.ts'
import { LIVE } from './rollout.ts'

const LOG = logger('registry')
const DAY_MS = 86_400_000

export interface PruneLimits {
  /** The newest are kept, however old they are. */
  readonly newest: number
  /** As are those that ended, or were made and never started, so lately. */
  readonly days: number
}

const DEFAULT_LIMITS: PruneLimits = { newest: 100, days: 90 }
const LIVE_LIST = LIVE.map((state) => `'${state}'`).join(', ')

interface Old {
  readonly id: string
  readonly model: string
  readonly word: number
}

/**
 * Lets go of old rollouts, with what they knew of each device; what people did stays in the audit. A rollout that has
 * ended still says what devices run that no later one has reached: that one stays, however old.
 */
export class RolloutPrune {
  readonly #database: Database
  readonly #limits: PruneLimits
  /** The number of the one that was looked at last, so that one that stays does not hide the next. */
  #after = 0

  constructor(database: Database, limits = DEFAULT_LIMITS) {
    this.#database = database
    this.#limits = limits
  }

  /** One at most, within the caller's transaction: a large fleet has many rows. */
  run(now: number): string | undefined {
    const old = this.#next(now)
    this.#after = old === undefined ? 0 : numberOf(old.id)
    if (old === undefined || this.#isNeeded(old)) return undefined
    for (const table of ['rollout_device', 'rollout_transition'])
      this.#database.prepare(`DELETE FROM ${table} WHERE rollout = ?`).run(old.id)
    this.#database.prepare('DELETE FROM rollout WHERE id = ?').run(old.id)
    LOG.info('registry.rollout_pruned', { rollout: old.id })
    return old.id
  }

  #next(now: number): Old | undefined {
    return this.#database
      .prepare<[object], Old>(
        `SELECT id, model, coalesce(last_word, word, 0) AS word FROM rollout
         WHERE state NOT IN (${LIVE_LIST}) AND since < @before AND CAST(substr(id, 3) AS INTEGER) > @after
           AND CAST(substr(id, 3) AS INTEGER) <= (SELECT max(CAST(substr(id, 3) AS INTEGER)) FROM rollout) - @newest
         ORDER BY CAST(substr(id, 3) AS INTEGER) LIMIT 1`,
      )
      .get({
        before: now - this.#limits.days * DAY_MS,
        after: this.#after,
        newest: Math.max(1, this.#limits.newest),
      })
  }

  /** Some device runs what it says, or goes back to what ran before it, or would once the last one is taken back. */
  #isNeeded(old: Old): boolean {
    return (
      this.#database
        .prepare<[Old], unknown>(
          `SELECT 1 FROM rollout_device m WHERE m.rollout = @id AND m.gives <> 'nothing' AND m.device IN (SELECT id FROM device)
           AND NOT EXISTS (
             SELECT 1 FROM rollout_device n JOIN rollout r ON r.id = n.rollout
             WHERE n.device = m.device AND n.gives = 'version' AND r.model = @model AND r.word > @word)
           LIMIT 1`,
        )
        .get(old) !== undefined
    )
  }
}

function numberOf(id: string): number {
  return Number(id.slice(2))
}
