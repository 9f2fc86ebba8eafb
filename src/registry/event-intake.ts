import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { DeviceEvent } from '../link/messages.ts'
import type { Devices } from './devices.ts'

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
  readonly #acknowledge: (device: string, event: DeviceEvent) => void
  #arrived: Arrived[] = []

  constructor(parts: { devices: Devices; acknowledge: (device: string, event: DeviceEvent) => void }) {
    this.#devices = parts.devices
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
        arrived.map(({ device, event: { sid, seq, ...body } }) => ({ device, sid, seq, body })),
      )
    } catch (error) {
      LOG.error('registry.events_not_kept', { events: arrived.length, reason: messageOf(error) })
      return
    }
    for (const { device, event } of arrived) this.#acknowledge(device, event)
  }
}
