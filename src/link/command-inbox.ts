import type { Clock } from '../kit/clock.ts'
import { logger } from '../kit/log.ts'
import type { Command } from './commands.ts'

const LOG = logger('link')
const WAITING_MAX = 32

/** A command, and whether it has come in time. */
export interface Arrived {
  readonly command: Command
  readonly isExpired: boolean
}

/**
 * Holds each command against the registry's clock, whatever this device's own says. Until the registry has told the time
 * they wait: what a broker has kept for long must not be done late.
 */
export class CommandInbox {
  readonly #clock: Clock
  readonly #hand: (arrived: Arrived) => void
  #waiting: Command[] = []
  /** The registry's time, and when it was told, on the clock that never jumps. */
  #told: { readonly registryMs: number; readonly atMs: number } | undefined

  constructor(parts: { clock: Clock; hand: (arrived: Arrived) => void }) {
    this.#clock = parts.clock
    this.#hand = parts.hand
  }

  take(command: Command): void {
    if (this.#told !== undefined) this.#judge(command, this.#told)
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push(command)
    else LOG.warn('link.command_dropped', { rid: command.rid, op: command.op, waiting_max: WAITING_MAX })
  }

  know(registryMs: number): void {
    const told = { registryMs, atMs: this.#clock.elapsed() }
    this.#told = told
    for (const command of this.#waiting.splice(0)) this.#judge(command, told)
  }

  #judge(command: Command, { registryMs, atMs }: { registryMs: number; atMs: number }): void {
    const nowMs = registryMs + this.#clock.elapsed() - atMs
    this.#hand({ command, isExpired: command.exp < nowMs })
  }
}
