import type { Environment } from '../config/environment.ts'
import { openNotifySocket } from '../health/notify-socket.ts'
import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'

/** How long a start may go on for after it has last been said that it does. */
const EXTENSION_US = 60_000_000

/** What a service manager is told, in the words of sd_notify(3). */
export class ServiceManager {
  readonly #send: (message: string) => boolean
  readonly #log: Logger
  #status = ''
  #isHeard = true

  constructor(send: (message: string) => boolean, log: Logger = logger('app')) {
    this.#send = send
    this.#log = log
  }

  /** It has begun to do what it is for. */
  ready(status: string): void {
    this.#tell('READY=1', status)
  }

  /** It is on its way, and takes its time. */
  starting(status: string): void {
    this.#tell(`EXTEND_TIMEOUT_USEC=${EXTENSION_US}`, status)
  }

  /** Without this for long enough, it is started again. */
  alive(status: string): void {
    this.#tell('WATCHDOG=1', status)
  }

  /** For people: in "systemctl status". */
  status(status: string): void {
    if (status !== this.#status) this.#tell('', status)
  }

  stopping(): void {
    this.#tell('STOPPING=1', 'stopping')
  }

  #tell(what: string, status: string): void {
    this.#status = status
    const isHeard = this.#send([what, `STATUS=${status}`].filter(Boolean).join('\n'))
    // Said once: what follows of it, the service manager will do loudly.
    if (!isHeard && this.#isHeard) this.#log.warn('app.service_manager_deaf', { told: what })
    this.#isHeard = isHeard
  }
}

/** Undefined where nobody has asked to be told. */
export function openServiceManager({ notifySocket }: Environment): ServiceManager | undefined {
  if (notifySocket === undefined) return undefined
  try {
    return new ServiceManager(openNotifySocket(notifySocket))
  } catch (error) {
    // The appliance can do without: a unit that waits to be told ends it in time, and this says why.
    logger('app').error('app.service_manager_unreachable', { reason: messageOf(error) })
    return undefined
  }
}
