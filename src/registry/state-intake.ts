import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Devices, ReportedState } from './devices.ts'

const LOG = logger('registry')

/** When a broker has come back, a whole fleet says hello at once: what came together is written together. */
export class StateIntake {
  readonly #devices: Devices
  #arrived: ReportedState[] = []

  constructor({ devices }: { devices: Devices }) {
    this.#devices = devices
  }

  take(state: ReportedState): void {
    this.#arrived.push(state)
    if (this.#arrived.length === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    const arrived = this.#arrived
    this.#arrived = []
    if (arrived.length === 0) return
    try {
      this.#devices.keepStates(arrived)
    } catch (error) {
      // A device says it again when something changes, and when the line is made anew.
      LOG.error('registry.states_not_kept', { states: arrived.length, reason: messageOf(error) })
    }
  }
}
