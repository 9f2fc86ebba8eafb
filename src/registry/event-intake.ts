import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { CommandOutcome, RESULT_BYTES_MAX } from '../link/commands.ts'
import type { DeviceEvent } from '../link/messages.ts'
import type { Commands } from './commands.ts'
import type { Devices } from './devices.ts'
import type { Traffic } from './traffic.ts'

const LOG = logger('registry')

interface Arrived {
  readonly device: string
  readonly event: DeviceEvent
}

/**
 * Many devices speak at once: what came together is written together. Each event is acknowledged once it is on disk, and
 * one that is not will come again.
 */
export class EventIntake {
  readonly #devices: Devices
  readonly #commands: Commands
  readonly #traffic: Traffic
  readonly #acknowledge: (device: string, event: DeviceEvent) => void
  #arrived: Arrived[] = []

  constructor(parts: {
    devices: Devices
    commands: Commands
    traffic: Traffic
    acknowledge: (device: string, event: DeviceEvent) => void
  }) {
    this.#devices = parts.devices
    this.#commands = parts.commands
    this.#traffic = parts.traffic
    this.#acknowledge = parts.acknowledge
  }

  take(device: string, event: DeviceEvent): void {
    this.#arrived.push({ device, event })
    if (this.#arrived.length === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    const arrived = this.#arrived
    this.#arrived = []
    if (arrived.length === 0) return
    try {
      this.#devices.keepEvents(
        arrived.map(({ device, event: { sid, seq, ...body } }) => {
          return { device, sid, seq, body: this.#finishCommand(device, body) }
        }),
      )
    } catch (error) {
      LOG.error('registry.events_not_kept', { events: arrived.length, reason: messageOf(error) })
      return
    }
    this.#traffic.events += arrived.length
    for (const { device, event } of lastOfEach(arrived)) this.#acknowledge(device, event)
  }

  /** The result of a command stands with the command; as an event it would only take the place of others. */
  #finishCommand(device: string, body: object): object {
    const parsed = CommandOutcome.safeParse(body)
    if (!parsed.success) return body
    const { result, ...outcome } = parsed.data
    const bytes = Buffer.byteLength(JSON.stringify(result ?? null))
    if (bytes <= RESULT_BYTES_MAX) this.#commands.finish(device, parsed.data)
    else {
      const reason = `the result has ${bytes} bytes, at most ${RESULT_BYTES_MAX}`
      this.#commands.finish(device, {
        ...outcome,
        state: 'failed',
        code: 'body_too_large',
        reason,
        result: null,
      })
    }
    return outcome
  }
}

/** A device sends its events in order: who has heard of the last has heard of all. */
function lastOfEach(arrived: readonly Arrived[]): Iterable<Arrived> {
  return new Map(arrived.map((each) => [`${each.device}/${each.event.sid}`, each])).values()
}
