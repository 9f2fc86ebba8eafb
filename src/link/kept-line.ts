import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import { type Line, type LineEnd, type LineOptions, LineRefused, type MqttVersion, openLine } from './line.ts'
import { Reconnect } from './reconnect.ts'

const LOG = logger('link')

export interface KeptLineParts {
  readonly clock: Clock
  readonly random: Random
  /** Asked before each attempt: a last will names the session that it ends. */
  readonly options: () => Omit<LineOptions, 'version'>
  /** Called with each new line, before anybody else may use it: subscribes, says hello. Fails: the line is dropped. */
  readonly greet: (line: Line) => Promise<void>
  /** Called once a line may be used. */
  readonly onUp?: (line: Line) => Promise<void>
  /** How many others lose their line when this one's broker goes: nobody, where it is not said. */
  readonly devices?: () => number
  /** Called before a line is closed on purpose: the last words. */
  readonly leave?: (line: Line) => Promise<void>
}

/**
 * The line to the broker, made again whenever it breaks.
 *
 * MQTT 5 is tried first; a broker that knows only 3.1.1 says so or hangs up, and is asked with 3.1.1 from then on.
 */
export class KeptLine {
  readonly #parts: KeptLineParts
  readonly #reconnect: Reconnect
  #version: MqttVersion = 5
  /** Where a broker has sent us, for the next attempt. */
  #reference: string | undefined
  #line: Line | undefined
  readonly #waiting = new Set<() => void>()
  readonly #broken = Promise.withResolvers<never>()

  constructor(parts: KeptLineParts) {
    this.#parts = parts
    this.#reconnect = new Reconnect(parts.random)
  }

  /** The line, greeted and open. */
  get line(): Line {
    if (this.#line?.isOpen !== true)
      throw new EdgeError('peer_failed', 'Cannot send: there is no line to the broker now')
    return this.#line
  }

  get isUp(): boolean {
    return this.#line?.isOpen === true
  }

  /** Resolves once there is a line, or after so long. */
  async whenUp(msMax: number, signal: AbortSignal): Promise<void> {
    if (this.isUp) return
    const up = new AbortController()
    const wake = () => up.abort()
    this.#waiting.add(wake)
    await this.#parts.clock.sleep(msMax, AbortSignal.any([signal, up.signal]))
    this.#waiting.delete(wake)
  }

  /** Runs until the signal fires; fails when what this device does with its line has. */
  async run(stop: AbortSignal): Promise<void> {
    await Promise.race([this.#keep(stop), this.#broken.promise])
  }

  /**
   * What came could not be dealt with, and that is not the other side's fault: a journal on a full disk. The library that
   * called would deal with nothing more, and nobody would hear of it.
   */
  fail(error: unknown): void {
    this.#broken.reject(error)
    this.#line?.drop()
  }

  async #keep(stop: AbortSignal): Promise<void> {
    const { clock } = this.#parts
    while (!stop.aborted) {
      const began = clock.elapsed()
      const end = await this.#once(stop)
      if (stop.aborted) return
      const stoodMs = clock.elapsed() - began
      const devices = this.#parts.devices?.() ?? 0
      const afterMs = Math.round(this.#reconnect.after({ stoodMs, isBusy: end.isBusy, devices }))
      LOG.warn('link.down', { reason: end.reason, stood_ms: Math.round(stoodMs), after_ms: afterMs })
      await clock.sleep(afterMs, stop)
    }
  }

  async #once(stop: AbortSignal): Promise<LineEnd> {
    const options = { ...this.#parts.options(), version: this.#version }
    const reference = this.#reference
    this.#reference = undefined
    try {
      const line = await openLine({ ...options, url: reference ?? options.url }, stop)
      return await this.#serve(line, stop)
    } catch (error) {
      return this.#afterFailure(error, options.url)
    }
  }

  async #serve(line: Line, stop: AbortSignal): Promise<LineEnd> {
    const leave = () => void this.#leave(line)
    stop.addEventListener('abort', leave, { once: true })
    try {
      await this.#parts.greet(line)
      this.#line = line
      for (const wake of this.#waiting) wake()
      LOG.info('link.up', { mqtt: this.#version, ...limitsOf(line) })
      this.#parts.onUp?.(line).catch((error: unknown) => {
        if (error instanceof EdgeError) LOG.debug('link.line_left', { reason: messageOf(error) })
        else this.fail(error)
      })
      const end = await line.ended
      if (end.reference !== undefined) this.#follow(end.reference, this.#parts.options().url)
      return end
    } finally {
      stop.removeEventListener('abort', leave)
      this.#line = undefined
      line.drop()
    }
  }

  async #leave(line: Line): Promise<void> {
    await this.#parts.leave?.(line).catch(() => undefined)
    await line.close()
  }

  #afterFailure(error: unknown, url: string): LineEnd {
    if (!(error instanceof LineRefused))
      return { reason: messageOf(error), isBusy: false, reference: undefined }
    // Who says nothing may know the other version, or may have been cut off: the two are tried in turns.
    if (error.version !== 'other') {
      this.#version = this.#version === 5 ? 4 : 5
      LOG.info('link.version', { mqtt: this.#version, reason: error.end.reason })
    }
    if (error.end.reference !== undefined) this.#follow(error.end.reference, url)
    return error.end
  }

  /** "host:port" (MQTT 5, 4.11), with the security that the first broker was asked with. */
  #follow(reference: string, url: string): void {
    const [first = ''] = reference.trim().split(/\s+/)
    if (!/^[A-Za-z0-9.[\]:-]{1,255}$/.test(first)) return
    this.#reference = `${new URL(url).protocol}//${first}`
    LOG.info('link.redirected', { to: this.#reference })
  }
}

function limitsOf(line: Line): object {
  return { packet_bytes_max: line.limits.packetBytesMax, receive_max: line.limits.receiveMax }
}
