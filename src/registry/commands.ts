import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Random } from '../kit/random.ts'
import type { CommandOutcome, Order } from '../link/commands.ts'
import type { LiveFeed } from './live.ts'

type CommandState = 'queued' | 'sent' | 'done' | 'failed' | 'expired'

export interface KeptCommand {
  readonly number: number
  readonly id: string
  readonly device: string
  readonly order: Order
  /** Milliseconds since 1970, as all times here. */
  readonly created: number
  readonly expires: number
  readonly state: CommandState
  readonly sent: number | null
  readonly ended: number | null
  readonly code: string
  readonly reason: string
  readonly result: unknown
}

/** Of one device; more would only pile up before one that is away. */
const PENDING_MAX = 16
const KEPT_OF_DEVICE_MAX = 200
/** A device that has taken a command in time may need as long to do it. */
const GRACE_MS = 120_000
/** Between two attempts to reach a device that does not answer. */
const AGAIN_MS = 15_000
const DUE_MAX = 500

/** What was asked of devices, and how it ended. */
export class Commands {
  readonly #database: Database
  readonly #clock: Clock
  readonly #live: LiveFeed
  readonly #random: Random

  constructor(parts: { database: Database; clock: Clock; live: LiveFeed; random: Random }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#live = parts.live
    this.#random = parts.random
  }

  create(device: string, { order, seconds }: { order: Order; seconds: number }): KeptCommand {
    const id = this.#random.bytes(16).toHex()
    const now = this.#clock.now()
    transact(this.#database, () => {
      const pending = this.#pendingOf(device).length
      if (pending >= PENDING_MAX) {
        throw new EdgeError(
          'queue_full',
          `Cannot ask "${device}" for "${order.op}": ${pending} commands wait for it, at most ${PENDING_MAX}`,
        )
      }
      this.#database
        .prepare(
          `INSERT INTO command (id, device, body, created, expires, state, code, reason, result)
           VALUES (?, ?, ?, ?, ?, 'queued', '', '', 'null')`,
        )
        .run(id, device, JSON.stringify(order), now, now + seconds * 1000)
      this.#dropOldest(device)
    })
    this.#live.publish({ kind: 'command', id: id })
    return this.get(id)
  }

  get(id: string): KeptCommand {
    const row = this.#find(id)
    if (row === undefined)
      throw new EdgeError('not_found', `Cannot find command "${id.slice(0, 64)}": there is none`)
    return toCommand(row)
  }

  #find(id: string): Row | undefined {
    return this.#database.prepare<[string], Row>('SELECT * FROM command WHERE id = ?').get(id)
  }

  /** In order, after a number; without one the newest. */
  list(device: string, range: { after: number | undefined; count: number }): KeptCommand[] {
    const order = range.after === undefined ? 'DESC' : 'ASC'
    return this.#database
      .prepare<[object], Row>(
        `SELECT * FROM (SELECT * FROM command WHERE device = @device AND number > @after
           ORDER BY number ${order} LIMIT @count) ORDER BY number`,
      )
      .all({ device, after: range.after ?? 0, count: range.count })
      .map(toCommand)
  }

  /** What a device that has just come has to hear, whatever was tried before. */
  pending(device: string): KeptCommand[] {
    return this.#pendingOf(device).map(toCommand)
  }

  #pendingOf(device: string): Row[] {
    return this.#database
      .prepare<[string, number], Row>(
        `SELECT * FROM command WHERE device = ? AND state IN ('queued', 'sent') AND expires > ? ORDER BY number`,
      )
      .all(device, this.#clock.now())
  }

  /** What should be said now to devices that are there. */
  due(): KeptCommand[] {
    const now = this.#clock.now()
    return this.#database
      .prepare<[number, number, number], Row>(
        `SELECT command.* FROM command JOIN device ON device.id = command.device
         WHERE command.state IN ('queued', 'sent') AND command.expires > ? AND device.online = 1
           AND coalesce(command.sent, 0) <= ? ORDER BY command.number LIMIT ?`,
      )
      .all(now, now - AGAIN_MS, DUE_MAX)
      .map(toCommand)
  }

  /** Before it is said: a device that answers at once must not be overtaken. */
  markSent(id: string): void {
    const { changes } = transact(this.#database, () =>
      this.#database
        .prepare(`UPDATE command SET state = 'sent', sent = ? WHERE id = ? AND state IN ('queued', 'sent')`)
        .run(this.#clock.now(), id),
    )
    if (changes > 0) this.#live.publish({ kind: 'command', id: id })
  }

  /** A device's word on a command of its own; the first one counts, and counts more than that it was thought to be over. */
  finish(device: string, outcome: CommandOutcome): void {
    const { changes } = transact(this.#database, () =>
      this.#database
        .prepare(
          `UPDATE command SET state = @state, ended = @ended, code = @code, reason = @reason, result = @result
           WHERE id = @id AND device = @device AND (state IN ('queued', 'sent') OR (state = 'expired' AND code = ''))`,
        )
        .run({
          id: outcome.rid,
          device,
          state: outcome.state,
          ended: this.#clock.now(),
          code: outcome.code,
          reason: outcome.reason,
          result: JSON.stringify(outcome.result ?? null),
        }),
    )
    if (changes > 0) this.#live.publish({ kind: 'command', id: outcome.rid })
  }

  /** What nobody has answered in time. */
  expire(): void {
    const now = this.#clock.now()
    const over = this.#database
      .prepare<[number, number], { id: string }>(
        `SELECT id FROM command WHERE (state = 'queued' AND expires <= ?) OR (state = 'sent' AND expires <= ?)`,
      )
      .all(now, now - GRACE_MS)
    if (over.length === 0) return
    transact(this.#database, () => {
      const end = this.#database.prepare(
        `UPDATE command SET state = 'expired', ended = ?, reason = 'the device has not answered in time' WHERE id = ?`,
      )
      for (const { id } of over) end.run(now, id)
    })
    for (const { id } of over) this.#live.publish({ kind: 'command', id: id })
  }

  #dropOldest(device: string): void {
    this.#database
      .prepare(
        `DELETE FROM command WHERE device = @device AND number <=
           (SELECT number FROM command WHERE device = @device ORDER BY number DESC LIMIT 1 OFFSET @most)`,
      )
      .run({ device, most: KEPT_OF_DEVICE_MAX })
  }
}

interface Row extends Omit<KeptCommand, 'order' | 'result'> {
  readonly body: string
  readonly result: string
}

function toCommand({ body, result, ...row }: Row): KeptCommand {
  return { ...row, order: JSON.parse(body) as Order, result: JSON.parse(result) as unknown }
}
