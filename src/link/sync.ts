import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import type { Exchange } from './exchange.ts'
import type { Line } from './line.ts'
import { decodeMessage, type RegistryState, Synced } from './messages.ts'

const LOG = logger('link')

/** Until the registry answers it is asked again after so long, and then now and then, because a pointer may get lost. */
const AGAIN_MS = 30_000
const EVERY_MS = 600_000
/** A registry that has come back is not met by all of its devices at once: so many come in a second, or over so long. */
const REBIRTHS_PER_SECOND = 50
const REBIRTH_MS_MAX = 300_000
/** Of a registry that does not say how many devices it has. */
const REBIRTH_MS_MIN = 5_000

export interface SyncParts {
  readonly exchange: Exchange
  readonly clock: Clock
  readonly random: Random
  readonly frameBytes: (line: Line) => number
  /** The last rev that the device has taken. */
  readonly rev: () => number
  /** `isNew`: by another run of the registry than the answer before. */
  readonly onAnswer: (synced: Synced, by: { readonly isNew: boolean }) => void
  /** Says the device's state anew: another run of the registry may have never heard it. */
  readonly onRebirth: (line: Line) => Promise<void>
}

/** Keeps asking the registry what the device should run: what was said while nobody listened is heard so. */
export class Sync {
  readonly #parts: SyncParts
  /** The run of the registry that answered last. */
  #sid: string | undefined
  #spreadMs = REBIRTH_MS_MIN
  #devices = 0
  #now: () => void = () => undefined

  constructor(parts: SyncParts) {
    this.#parts = parts
  }

  /** Of the registry, as far as it has said. */
  get devices(): number {
    return this.#devices
  }

  /** Another run of the registry may know more, or less, than the one before. */
  notice({ online, sid, devices }: Pick<RegistryState, 'online' | 'sid' | 'devices'>): void {
    if (online) this.#devices = devices
    if (!online || sid === this.#sid) return
    this.#spreadMs = Math.min(
      REBIRTH_MS_MAX,
      Math.max(REBIRTH_MS_MIN, (devices / REBIRTHS_PER_SECOND) * 1000),
    )
    this.#now()
  }

  /** Runs as long as the line. */
  async run(line: Line, stop: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts
    while (line.isOpen && !stop.aborted) {
      const again = new AbortController()
      this.#now = () => again.abort()
      const isAnswered = await this.#ask(line, stop)
      const waitMs = (isAnswered ? EVERY_MS : AGAIN_MS) * (0.5 + random.fraction() / 2)
      await clock.sleep(waitMs, AbortSignal.any([stop, again.signal]))
      if (again.signal.aborted) await this.#beBornAgain(line, stop)
    }
  }

  /** Not at the first word of a registry: the device has just said what it is like. */
  async #beBornAgain(line: Line, stop: AbortSignal): Promise<void> {
    const { clock, random, onRebirth } = this.#parts
    const isFirst = this.#sid === undefined
    await clock.sleep(random.fraction() * this.#spreadMs, stop)
    if (!isFirst && line.isOpen && !stop.aborted) await onRebirth(line)
  }

  async #ask(line: Line, stop: AbortSignal): Promise<boolean> {
    try {
      const frameBytes = this.#parts.frameBytes(line)
      const question = { op: 'sync', rev: this.#parts.rev(), frame_bytes: frameBytes } as const
      const bytes = await this.#parts.exchange.askOnce(question, { line, signal: stop })
      if (bytes === undefined) return false
      const synced = decodeMessage(Synced, bytes)
      this.#parts.onAnswer(synced, { isNew: synced.sid !== this.#sid })
      this.#sid = synced.sid
      return true
    } catch (error) {
      if (!(error instanceof EdgeError) && !stop.aborted) throw error
      LOG.debug('link.sync_failed', { reason: messageOf(error) })
      return false
    }
  }
}
