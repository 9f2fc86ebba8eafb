import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'

/** Which requests of a model are kept. */
export interface CaptureRule {
  readonly percent: number
  readonly onFailure: boolean
  readonly bytesMax: number
}

/** What was said from afar, for a while. */
interface Order {
  readonly percent: number
  readonly onFailure: boolean
  readonly untilMs: number
}

const ORDERS_MAX = 64
const BYTES_MAX = 64 * 1024 ** 2
const NOTHING = { percent: 0, onFailure: false } as const

/** What a model's config says, and what was said since, which ends by itself. */
export class CaptureRules {
  readonly #configured: (model: string) => CaptureRule | undefined
  readonly #clock: Clock
  readonly #orders = new Map<string, Order>()

  constructor(parts: { configured: (model: string) => CaptureRule | undefined; clock: Clock }) {
    this.#configured = parts.configured
    this.#clock = parts.clock
  }

  /** Undefined: nothing of it is kept. */
  rule(model: string): CaptureRule | undefined {
    const configured = this.#configured(model)
    const order = this.#orderFor(model)
    if (order === undefined) return configured
    if (order.percent === 0 && !order.onFailure) return undefined
    return { percent: order.percent, onFailure: order.onFailure, bytesMax: configured?.bytesMax ?? BYTES_MAX }
  }

  start(model: string, wanted: { percent: number; onFailure: boolean; seconds: number }): void {
    if (!this.#orders.has(model) && this.#orders.size >= ORDERS_MAX) {
      throw new EdgeError(
        'queue_full',
        `Cannot capture "${model}": ${ORDERS_MAX} models are, at most ${ORDERS_MAX}`,
      )
    }
    const { percent, onFailure, seconds } = wanted
    this.#orders.set(model, { percent, onFailure, untilMs: this.#clock.elapsed() + seconds * 1000 })
  }

  /** Also of what the config says, for so long. */
  stop(model: string, { seconds }: { seconds: number }): void {
    this.start(model, { ...NOTHING, seconds })
  }

  /** Undefined: what the config says counts. */
  secondsLeft(model: string): number | undefined {
    const order = this.#orderFor(model)
    return order === undefined ? undefined : Math.ceil((order.untilMs - this.#clock.elapsed()) / 1000)
  }

  get ordered(): string[] {
    return [...this.#orders.keys()].filter((model) => this.#orderFor(model) !== undefined)
  }

  #orderFor(model: string): Order | undefined {
    if (this.#orders.size === 0) return undefined
    const order = this.#orders.get(model)
    if (order === undefined || order.untilMs > this.#clock.elapsed()) return order
    this.#orders.delete(model)
    return undefined
  }
}
