import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Command } from '../link/commands.ts'
import type { Commands, KeptCommand } from './commands.ts'

const LOG = logger('registry')
const TICK_MS = 2_000

/** Brings commands to devices: when they are given, when a device comes, and again while it does not answer. */
export class CommandSender {
  readonly #commands: Commands
  readonly #publish: (device: string, command: Command) => Promise<void>

  constructor(parts: { commands: Commands; publish: (device: string, command: Command) => Promise<void> }) {
    this.#commands = parts.commands
    this.#publish = parts.publish
  }

  /** The device is there, and may have been away while they were given. */
  greet(device: string): void {
    for (const command of this.#commands.pending(device)) this.#send(command)
  }

  sendDue(): void {
    for (const command of this.#commands.due()) this.#send(command)
  }

  async run({ clock, stop }: { clock: Clock; stop: AbortSignal }): Promise<void> {
    while (!stop.aborted) {
      await clock.sleep(TICK_MS, stop)
      if (stop.aborted) return
      try {
        this.#commands.expire()
        this.sendDue()
      } catch (error) {
        LOG.error('registry.commands_failed', { reason: messageOf(error) })
      }
    }
  }

  /** Nobody waits for one device to read what another should hear. */
  #send({ id, device, order, expires }: KeptCommand): void {
    this.#commands.markSent(id)
    this.#publish(device, { ...order, rid: id, exp: expires }).catch((error: unknown) => {
      LOG.warn('registry.command_not_sent', { device, command: id, op: order.op, reason: messageOf(error) })
    })
  }
}
