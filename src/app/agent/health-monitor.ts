import { type AlertRule, type AlertState, type AlertStates, judge } from '../../health/alerts.ts'
import type { Sampler } from '../../health/sampler.ts'
import type { Measured } from '../../health/source.ts'
import type { Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'
import type { TelemetryOutbox } from '../../link/telemetry-outbox.ts'
import { TelemetryWindow } from '../../link/telemetry-window.ts'
import type { AlertBook } from './alert-book.ts'
import { describeLive } from './live-values.ts'

const LOG = logger('health')
/** So often what was measured is put away. */
const WINDOW_MS = 60_000

export interface HealthMonitorParts {
  readonly clock: Clock
  readonly sampler: Pick<Sampler, 'sample' | 'problems'>
  readonly rules: readonly AlertRule[]
  readonly book: Pick<AlertBook, 'load' | 'save'>
  readonly telemetry: Pick<TelemetryOutbox, 'put'>
  readonly sampleSeconds: number
  readonly pointsSeconds: number
  /** What holds has changed. */
  readonly onAlert: () => void
}

/** Looks at the device again and again: puts away what it sees, and says when something is wrong. */
export class HealthMonitor {
  readonly #parts: HealthMonitorParts
  readonly #window: TelemetryWindow
  readonly #began: number
  #windowBegan: number
  #alerts: AlertStates
  #measured: readonly Measured[] = []

  constructor(parts: HealthMonitorParts) {
    this.#parts = parts
    this.#window = new TelemetryWindow({ stepSeconds: parts.pointsSeconds })
    this.#began = parts.clock.elapsed()
    this.#windowBegan = this.#began
    this.#alerts = parts.book.load()
  }

  async run(stop: AbortSignal): Promise<void> {
    const { clock, sampleSeconds } = this.#parts
    while (!stop.aborted) {
      await this.look().catch((error: unknown) => {
        LOG.error('health.look_failed', { reason: messageOf(error) })
      })
      await clock.sleep(sampleSeconds * 1000, stop)
    }
    this.#close()
  }

  /** Once. */
  async look(): Promise<void> {
    const { clock, sampler, rules, book, onAlert } = this.#parts
    this.#measured = await sampler.sample()
    const nowMs = clock.now()
    this.#window.add(this.#measured, nowMs)
    const { states, changes } = judge(this.#alerts, this.#measured, { rules, nowMs })
    book.save(states, changes)
    this.#alerts = states
    for (const { message, state, severity } of changes) LOG.warn('health.alert', { state, severity, message })
    if (changes.length > 0) onAlert()
    this.#putAway(clock.elapsed())
  }

  /** What a heartbeat tells. */
  get live(): object {
    const uptimeSeconds = Math.round((this.#parts.clock.elapsed() - this.#began) / 1000)
    return { uptime_seconds: uptimeSeconds, ...describeLive(this.#measured, this.alerts) }
  }

  /** Those that hold. */
  get alerts(): AlertState[] {
    return [...this.#alerts.values()].filter(({ severity }) => severity !== undefined)
  }

  get problems(): Sampler['problems'] {
    return this.#parts.sampler.problems
  }

  #putAway(now: number): void {
    if (now - this.#windowBegan < WINDOW_MS) return
    this.#windowBegan = now
    this.#close()
  }

  #close(): void {
    const batch = this.#window.close()
    if (batch !== undefined) this.#parts.telemetry.put(batch)
  }
}
