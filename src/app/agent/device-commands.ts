import { EdgeError, messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'
import type { Arrived } from '../../link/command-inbox.ts'
import { type Command, type Order, type OrderOf, parseOrder } from '../../link/commands.ts'
import type { CommandBook, Ending } from './command-book.ts'

const LOG = logger('app')
const AT_ONCE_MAX = 4
const WAITING_MAX = 16
/** Less than the registry waits for an answer. */
const OPERATION_MS_MAX = 110_000
const REASON_LENGTH_MAX = 2000

/** One for each operation: what it gives is the command's result. */
export type Operations = {
  readonly [Op in Order['op']]: (
    order: OrderOf<Op>,
    of: { readonly rid: string; readonly signal: AbortSignal },
  ) => Promise<unknown>
}

/** Does what a person asks from afar: each command once, in time or not at all, and tells how it ended. */
export class DeviceCommands {
  readonly #book: CommandBook
  readonly #operations: Operations
  readonly #stop: AbortSignal
  readonly #waiting: Command[] = []
  #running = 0

  constructor(parts: { book: CommandBook; operations: Operations; stop: AbortSignal }) {
    this.#book = parts.book
    this.#operations = parts.operations
    this.#stop = parts.stop
    this.#book.endInterrupted()
  }

  take({ command, isExpired }: Arrived): void {
    if (this.#stop.aborted || !this.#book.begin(command)) return
    LOG.info('app.command_taken', { rid: command.rid, op: command.op, expired: isExpired })
    if (isExpired) {
      const reason = 'it came after its time'
      this.#book.end(command, { state: 'expired', code: 'expired', reason, result: null })
    } else if (this.#waiting.length >= WAITING_MAX) {
      const reason = `${WAITING_MAX} commands wait, at most ${WAITING_MAX}`
      this.#book.end(command, { state: 'failed', code: 'queue_full', reason, result: null })
    } else {
      this.#waiting.push(command)
      this.#advance()
    }
  }

  #advance(): void {
    while (this.#running < AT_ONCE_MAX) {
      const command = this.#waiting.shift()
      if (command === undefined) return
      this.#running += 1
      void this.#do(command).finally(() => {
        this.#running -= 1
        this.#advance()
      })
    }
  }

  async #do(command: Command): Promise<void> {
    const ending = await this.#attempt(command)
    // What a stop has cut off is told as such by the next run.
    if (this.#stop.aborted) return
    const { rid, op } = command
    LOG.info('app.command_ended', { rid, op, state: ending.state, code: ending.code, reason: ending.reason })
    this.#book.end(command, ending)
  }

  async #attempt(command: Command): Promise<Ending> {
    const tooLong = AbortSignal.timeout(OPERATION_MS_MAX)
    const signal = AbortSignal.any([this.#stop, tooLong])
    try {
      const { rid, exp: _, ...given } = command
      const result = await Promise.race([this.#run(parseOrder(given), { rid, signal }), aborted(signal)])
      return { state: 'done', code: '', reason: '', result: result ?? null }
    } catch (error) {
      const code =
        error instanceof EdgeError ? error.code : tooLong.aborted ? 'deadline_exceeded' : 'internal'
      const reason = tooLong.aborted ? `it took longer than ${OPERATION_MS_MAX / 1000} s` : messageOf(error)
      return { state: 'failed', code, reason: reason.slice(0, REASON_LENGTH_MAX), result: null }
    }
  }

  #run(order: Order, of: { rid: string; signal: AbortSignal }): Promise<unknown> {
    const operation = this.#operations[order.op] as (order: Order, of: object) => Promise<unknown>
    return operation(order, of)
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener(
      'abort',
      () => reject(new EdgeError('cancelled', 'Cannot go on: it was cut off')),
      {
        once: true,
      },
    )
  })
}
