import type { Database, Statement } from '../kit/database.ts'
import type { AssignedModels } from './assignments.ts'
import { type Composed, compose, type Reach, type Said } from './desired.ts'
import type { RolloutPlan } from './rollout-plan.ts'

interface ReachRow {
  readonly rollout: string
  readonly wave: number
  readonly gives: Reach['gives']
  readonly ran: string | null
  readonly state: string
  readonly word: number
  readonly last_word: number | null
}

type Entries = Pick<Reach, 'entry' | 'back'>

/** Rollouts of which what they give is kept in memory: a plan never changes. */
const ENTRIES_MAX = 1_000

/** Reads what has been said about a device, and what comes of it. */
export class Desired {
  readonly #assignment: Statement<[string], { models: string }>
  readonly #words: Statement<[string], { model: string; word: number }>
  readonly #reaches: Statement<[string], ReachRow>
  readonly #plan: Statement<[string], { plan: string }>
  readonly #lost: Statement<[string], { lost_word: number }>
  readonly #entries = new Map<string, Entries>()

  constructor(database: Database) {
    this.#assignment = database.prepare('SELECT models FROM assignment WHERE target = ?')
    this.#words = database.prepare('SELECT model, word FROM assignment_word WHERE target = ?')
    this.#reaches = database.prepare(
      `SELECT m.rollout, m.wave, m.gives, m.ran, r.state, r.word, r.last_word
       FROM rollout_device m JOIN rollout r ON r.id = m.rollout WHERE m.device = ? AND m.gives <> 'nothing'`,
    )
    this.#plan = database.prepare('SELECT plan FROM rollout WHERE id = ?')
    this.#lost = database.prepare('SELECT lost_word FROM device WHERE id = ?')
  }

  of(device: string): Composed {
    return compose({
      own: this.#said(device),
      all: this.#said('all'),
      reaches: this.#reaches.all(device).map((row) => this.#toReach(row)),
      lostWord: this.#lost.get(device)?.lost_word ?? 0,
    })
  }

  /** What is said of no model in particular was said before all that counts. */
  #said(target: string): Said[] | undefined {
    const row = this.#assignment.get(target)
    if (row === undefined) return undefined
    const words = new Map(this.#words.all(target).map(({ model, word }) => [model, word]))
    return (JSON.parse(row.models) as AssignedModels).map((entry) => ({
      entry,
      word: words.get(entry.model) ?? 0,
    }))
  }

  #toReach({ rollout, wave, gives, ran, state, word, last_word }: ReachRow): Reach {
    const { entry, back } = this.#entriesOf(rollout)
    return {
      rollout,
      state,
      gives,
      word,
      lastWord: last_word ?? word,
      entry: { ...entry, wave },
      back,
      ran: ran === null ? null : (JSON.parse(ran) as Reach['entry']),
    }
  }

  #entriesOf(rollout: string): Entries {
    const known = this.#entries.get(rollout)
    if (known !== undefined) return known
    const { entry, back } = JSON.parse(this.#plan.get(rollout)?.plan ?? '{}') as RolloutPlan
    if (this.#entries.size >= ENTRIES_MAX) this.#entries.clear()
    this.#entries.set(rollout, { entry, back })
    return { entry, back }
  }
}
