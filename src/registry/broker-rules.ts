import { type Topics, UP_KINDS } from '../link/topics.ts'
import { DEVICE_ID } from './device-id.ts'

/** What a device may do at the broker: speak under its own name, and hear what is said to it and to all. */
export class BrokerRules {
  readonly #topics: Topics

  constructor(topics: Topics) {
    this.#topics = topics
  }

  /** A client id that is not the device's own could throw another device off. */
  mayConnect(given: { clientId: string; username: string | undefined }): boolean {
    return given.clientId === given.username && DEVICE_ID.test(given.clientId)
  }

  mayPublish(device: string, topic: string): boolean {
    return UP_KINDS.some((kind) => this.#topics.up(device, kind) === topic)
  }

  /** Exactly the roots, or something below them; a wildcard may stand only where everything below is the device's own. */
  maySubscribe(device: string, filter: string): boolean {
    const { prefix } = this.#topics
    return [`${prefix}/d/${device}/`, `${prefix}/r/`].some(
      (root) => filter.startsWith(root) && filter.length > root.length,
    )
  }
}
