import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Telemetry } from '../link/messages.ts'
import type { TelemetryStore } from './telemetry.ts'

const LOG = logger('registry')

/** What comes within so long is written down together. */
const TOGETHER_MS = 250
/** Messages that wait to be written; what comes on top is let go, and comes again. */
const WAITING_MAX = 4_096
/** Between two looks at what has become old, and the steps of one look. */
const TIDY_MS = 15_000
const TIDY_STEPS_MAX = 2_000

interface Arrived {
  readonly device: string
  readonly telemetry: Telemetry
}

/** Takes in what ten thousand devices measure, in a few transactions a second, and acknowledges what is on disk. */
export class TelemetryIntake {
  readonly #store: TelemetryStore
  readonly #clock: Clock
  readonly #acknowledge: (device: string, item: { sid: string; seq: number }) => void
  readonly #stop = new AbortController()
  #arrived: Arrived[] = []

  constructor(parts: {
    store: TelemetryStore
    clock: Clock
    acknowledge: (device: string, item: { sid: string; seq: number }) => void
  }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#acknowledge = parts.acknowledge
  }

  take(device: string, telemetry: Telemetry): void {
    if (this.#arrived.length >= WAITING_MAX) return
    this.#arrived.push({ device, telemetry })
    if (this.#arrived.length === 1)
      void this.#clock.sleep(TOGETHER_MS, this.#stop.signal).then(() => this.flush())
  }

  flush(): void {
    const arrived = this.#arrived
    this.#arrived = []
    if (arrived.length === 0) return
    try {
      this.#store.keep(
        arrived.flatMap(({ device, telemetry: { sid, batches } }) =>
          batches.map(({ hist: _, ...batch }) => ({ ...batch, device, sid })),
        ),
      )
    } catch (error) {
      LOG.error('registry.telemetry_not_kept', { messages: arrived.length, reason: messageOf(error) })
      return
    }
    for (const { device, telemetry } of arrived) {
      const seq = telemetry.batches.at(-1)?.seq ?? 0
      this.#acknowledge(device, { sid: telemetry.sid, seq })
    }
  }

  /** Keeps the store in its bounds until it is closed, a short step at a time. */
  async keepTidy(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#clock.sleep(TIDY_MS, this.#stop.signal)
      try {
        await this.#tidy()
      } catch (error) {
        LOG.error('registry.telemetry_not_tidied', { reason: messageOf(error) })
      }
    }
  }

  async #tidy(): Promise<void> {
    for (let step = 0; step < TIDY_STEPS_MAX && !this.#stop.signal.aborted; step += 1) {
      if (!this.#store.tidy()) return
      await this.#clock.sleep(0, this.#stop.signal)
    }
  }

  close(): void {
    this.#stop.abort()
    this.flush()
  }
}
