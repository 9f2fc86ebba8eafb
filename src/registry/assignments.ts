import { createHash } from 'node:crypto'
import { prettifyError, ZodError } from 'zod'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import type { signAssignment } from '../trust/assignment.ts'
import type { Desired } from './desired-sources.ts'
import type { LiveFeed } from './live.ts'
import { LIVE } from './rollout.ts'
import { lastWord, sayWord } from './word.ts'

/** What one device, or all, should run: as it will be signed. */
export type AssignedModels = AssignmentPayload['models']
export type AssignmentPayload = Parameters<typeof signAssignment>[0]

export interface Issued {
  readonly device: string
  readonly rev: number
  readonly envelope: Uint8Array
  /** Of the envelope. */
  readonly sha256: string
}

export interface AssignmentParts {
  readonly database: Database
  readonly clock: Clock
  readonly sign: (payload: AssignmentPayload) => Uint8Array
  readonly live: LiveFeed
  readonly desired: Desired
}

const ALL = 'all'
/** Some tens of milliseconds. */
const SIGNED_AT_ONCE = 100

/**
 * What each device should run: what operators assign to it or to all, and what rollouts bring it (`desired.ts` says which
 * counts). What a device gets is signed for it alone, under a rev that only rises.
 */
export class Assignments {
  readonly #database: Database
  readonly #clock: Clock
  readonly #sign: AssignmentParts['sign']
  readonly #live: LiveFeed
  readonly #desired: Desired

  constructor(parts: AssignmentParts) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#sign = parts.sign
    this.#live = parts.live
    this.#desired = parts.desired
  }

  /** Gives what was issued because of it: at once, so that what cannot be signed is refused now. */
  assign(target: string, wanted: AssignedModels): Issued[] {
    const issued = transact(this.#database, () => {
      this.#writeDown(target, wanted)
      return this.#devicesOf(target).flatMap((device) => this.current(device) ?? [])
    })
    this.#live.publish({ kind: 'assignment', id: target })
    return issued
  }

  /**
   * The same for all devices that have no assignment of their own: written down at once, and signed for some at a time, so
   * that others are answered in between. Where that is cut off, each device's is signed when it asks.
   */
  async assignAll(wanted: AssignedModels): Promise<Issued[]> {
    this.checkSignable(wanted)
    transact(this.#database, () => this.#writeDown(ALL, wanted))
    this.#live.publish({ kind: 'assignment', id: ALL })
    const issued: Issued[] = []
    let after: string | undefined = ''
    while (after !== undefined) {
      const [some, last]: [Issued[], string | undefined] = transact(this.#database, () => {
        const devices = this.#without(after ?? '')
        return [devices.flatMap((device) => this.current(device) ?? []), devices.at(-1)]
      })
      issued.push(...some)
      after = last
      await new Promise((resolve) => setImmediate(resolve))
    }
    return issued
  }

  /** The next of those that have no assignment of their own. */
  #without(after: string): string[] {
    return this.#database
      .prepare<[string, number], { id: string }>(
        'SELECT id FROM device WHERE id > ? AND id NOT IN (SELECT target FROM assignment) ORDER BY id LIMIT ?',
      )
      .all(after, SIGNED_AT_ONCE)
      .map(({ id }) => id)
  }

  #writeDown(target: string, wanted: AssignedModels): void {
    this.#sayWords(target, wanted)
    this.#database
      .prepare(
        `INSERT INTO assignment (target, models, written) VALUES (?, ?, ?)
         ON CONFLICT (target) DO UPDATE SET models = excluded.models, written = excluded.written`,
      )
      .run(target, JSON.stringify(wanted), this.#clock.now())
  }

  /** The device goes back to what all run; where nothing is said for all, to nothing. */
  withdraw(device: string): Issued | undefined {
    const issued = transact(this.#database, () => {
      this.#database.prepare('DELETE FROM assignment WHERE target = ?').run(device)
      this.#database.prepare('DELETE FROM assignment_word WHERE target = ?').run(device)
      return this.current(device)
    })
    this.#live.publish({ kind: 'assignment', id: device })
    return issued
  }

  /** What is said of a model as before stays as old as it was; what is new is the last word on it. */
  #sayWords(target: string, wanted: AssignedModels): void {
    const before = new Map(this.#modelsOf(target).map((entry) => [entry.model, JSON.stringify(entry)]))
    const changed = wanted.filter((entry) => before.get(entry.model) !== JSON.stringify(entry))
    if (target === ALL) for (const { model } of changed) this.#requireNoRollout(model)
    const named = new Set(wanted.map(({ model }) => model))
    const remove = this.#database.prepare('DELETE FROM assignment_word WHERE target = ? AND model = ?')
    for (const model of before.keys()) if (!named.has(model)) remove.run(target, model)
    const put = this.#database.prepare(
      'INSERT OR REPLACE INTO assignment_word (target, model, word) VALUES (?, ?, ?)',
    )
    for (const { model } of changed) put.run(target, model, sayWord(this.#database, this.#clock.now()))
  }

  #modelsOf(target: string): AssignedModels {
    const row = this.#database
      .prepare<[string], { models: string }>('SELECT models FROM assignment WHERE target = ?')
      .get(target)
    return row === undefined ? [] : (JSON.parse(row.models) as AssignedModels)
  }

  /** All devices at once is what a rollout is there to avoid. */
  #requireNoRollout(model: string): void {
    const live = LIVE.map((state) => `'${state}'`).join(', ')
    const row = this.#database
      .prepare<[string], { id: string; state: string }>(
        `SELECT id, state FROM rollout WHERE model = ? AND state IN (${live}) LIMIT 1`,
      )
      .get(model)
    if (row !== undefined)
      throw new EdgeError(
        'conflict',
        `Cannot assign ${model} to all: rollout ${row.id} of it is ${row.state}; end it first`,
      )
  }

  /** Refuses what no device could be given, before anything is begun with it. */
  checkSignable(models: AssignedModels): void {
    const issued = new Date(this.#clock.now()).toISOString()
    try {
      this.#sign({ device: 'any', rev: 1, issued, models, keep: [] })
    } catch (cause) {
      if (!(cause instanceof ZodError)) throw cause
      throw new EdgeError('input_invalid', `Cannot assign: ${prettifyError(cause)}`, { cause })
    }
  }

  #devicesOf(target: string): string[] {
    if (target !== ALL) return [target]
    return this.#database
      .prepare<[], { id: string }>('SELECT id FROM device WHERE id NOT IN (SELECT target FROM assignment)')
      .all()
      .map(({ id }) => id)
  }

  /** What the device should run now, signed anew when that has changed; undefined: nobody has ever said. */
  current(device: string): Issued | undefined {
    return transact(this.#database, () => {
      const before = this.#issuedTo(device)
      const models = this.#wantedFor(device) ?? (before === undefined ? undefined : '[]')
      if (models === undefined || before?.models === models) return before
      return this.#issue(device, { rev: (before?.rev ?? 0) + 1, models })
    })
  }

  /**
   * A device refuses a rev that is not above the last it has seen. One that has seen a higher rev than ours (we were
   * restored from an old copy) makes us go on above it.
   */
  catchUp(device: string, seenRev: number): Issued | undefined {
    return transact(this.#database, () => {
      const issued = this.current(device)
      if (issued === undefined || seenRev <= issued.rev) return issued
      // What was said since is lost: what is still known must not bring anything older back on that device.
      this.#database
        .prepare('UPDATE device SET lost_word = ? WHERE id = ?')
        .run(lastWord(this.#database), device)
      return this.#issue(device, { rev: seenRev + 1, models: this.#wantedFor(device) ?? '[]' })
    })
  }

  #wantedFor(device: string): string | undefined {
    const { models } = this.#desired.of(device)
    return models === undefined ? undefined : JSON.stringify(models)
  }

  #issuedTo(device: string): (Issued & { models: string }) | undefined {
    return this.#database
      .prepare<[string], Issued & { models: string }>('SELECT * FROM issued WHERE device = ?')
      .get(device)
  }

  #issue(device: string, { rev, models }: { rev: number; models: string }): Issued {
    const envelope = this.#sign({
      device,
      rev,
      issued: new Date(this.#clock.now()).toISOString(),
      models: JSON.parse(models) as AssignedModels,
      keep: [],
    })
    const sha256 = createHash('sha256').update(envelope).digest('hex')
    this.#database
      .prepare(
        `INSERT INTO issued (device, rev, models, envelope, sha256) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (device) DO UPDATE SET rev = excluded.rev, models = excluded.models,
           envelope = excluded.envelope, sha256 = excluded.sha256`,
      )
      .run(device, rev, models, envelope, sha256)
    return { device, rev, envelope, sha256 }
  }

  /** What an operator has written down, by target. */
  list(): { target: string; models: unknown }[] {
    return this.#database
      .prepare<[], { target: string; models: string }>(
        'SELECT target, models FROM assignment ORDER BY target',
      )
      .all()
      .map(({ target, models }) => ({ target, models: JSON.parse(models) as unknown }))
  }
}
