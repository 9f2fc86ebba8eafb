import type { Clock } from '../kit/clock.ts'
import type { Heartbeat } from '../link/messages.ts'

/** So many heartbeats may be missing before a device counts as gone, whatever its broker says. */
const HEARTBEATS_MISSED_MAX = 3
/** Of a device that has not said how often it gives a sign of life. */
const EVERY_MS = 30_000

/** What a device's last heartbeat said. */
export interface LastHeartbeat {
  readonly receivedMs: number
  /** How far the device's clock is ahead; what the way took is in it. */
  readonly clockOffsetMs: number | null
  readonly body: Readonly<Heartbeat>
}

/**
 * Whether devices are there. Heartbeats are kept in memory alone: ten thousand devices give some hundred a second, and
 * the next ones are as good. After a restart, of the registry or of its broker, all have the time to give a sign anew.
 */
export class Liveness {
  readonly #clock: Clock
  readonly #last = new Map<string, LastHeartbeat>()
  /** Of each session, so that one that comes late does not hide a newer one. */
  #listeningSince: number
  #isListening = () => true

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock
    this.#listeningSince = clock.elapsed()
  }

  note(device: string, heartbeat: Heartbeat): void {
    const before = this.#last.get(device)?.body
    if (before?.sid === heartbeat.sid && isOlder(heartbeat, before)) return
    const receivedMs = this.#clock.now()
    const clockOffsetMs = heartbeat.time === undefined ? null : heartbeat.time - receivedMs
    this.#last.set(device, { receivedMs, clockOffsetMs, body: heartbeat })
  }

  last(device: string): LastHeartbeat | undefined {
    return this.#last.get(device)
  }

  /** The line to the devices is new: what they said meanwhile was not heard. */
  listenAnew(): void {
    this.#listeningSince = this.#clock.elapsed()
  }

  /** While there is no line nobody is heard, and nobody is silent. */
  listenWhile(isListening: () => boolean): void {
    this.#isListening = isListening
  }

  /** A device that says it is online, or whose will has not been said, and that has given no sign of life for too long, is gone. */
  isAlive({ id, isOnline, seen }: { id: string; isOnline: boolean; seen: number | null }): boolean {
    if (!isOnline) return false
    if (!this.#isListening()) {
      this.listenAnew()
      return true
    }
    const last = this.#last.get(id)
    const everyMs = (last?.body.every_seconds ?? EVERY_MS / 1000) * 1000
    const silentMs = this.#clock.now() - Math.max(last?.receivedMs ?? 0, seen ?? 0)
    const listenedMs = this.#clock.elapsed() - this.#listeningSince
    return Math.min(silentMs, listenedMs) <= HEARTBEATS_MISSED_MAX * everyMs
  }
}

/** A process that was started anew counts from the beginning: a beat that is far behind is its first. */
function isOlder({ seq }: Heartbeat, before: Heartbeat): boolean {
  return seq < before.seq && before.seq - seq < LATE_MAX
}

/** QoS 0 comes in order on one connection; a few may come late over the one before. */
const LATE_MAX = 3
