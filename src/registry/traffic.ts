import type { Clock } from '../kit/clock.ts'
import { Histogram, type HistogramSnapshot } from '../kit/histogram.ts'
import { UP_KINDS, type UpKind } from '../link/topics.ts'

const BOUNDS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10]

/** What has come in since the start, counted: one addition each. */
export class Traffic {
  readonly messages = zeroes()
  readonly refused = zeroes()
  /** Heartbeats that a device has counted and that never came here. */
  heartbeatsMissed = 0
  events = 0
  readonly errors = new Map<string, number>()
  readonly #clock: Clock
  readonly #heartbeats = new Map<string, { readonly sid: string; readonly seq: number }>()
  readonly #requests = new Map<string, Histogram>()

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock
  }

  /** Numbers are of one run of a device, and rise: a gap is what was lost on the way, or while we were away. */
  noteHeartbeat(device: string, { sid, seq }: { sid: string; seq: number }): void {
    const before = this.#heartbeats.get(device)
    if (before?.sid === sid && seq > before.seq) this.heartbeatsMissed += seq - before.seq - 1
    this.#heartbeats.set(device, { sid, seq })
  }

  noteError(code: string): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
  }

  /** How long answers of a route take, by the route's pattern: there are as many as there are routes. */
  async time<T>(route: string, work: () => T | Promise<T>): Promise<T> {
    const began = this.#clock.elapsed()
    try {
      return await work()
    } finally {
      const histogram = this.#requests.get(route) ?? new Histogram(BOUNDS_SECONDS)
      this.#requests.set(route, histogram)
      histogram.add((this.#clock.elapsed() - began) / 1000)
    }
  }

  get requests(): [route: string, HistogramSnapshot][] {
    return [...this.#requests].map(([route, histogram]) => [route, histogram.snapshot])
  }
}

function zeroes(): Record<UpKind, number> {
  return Object.fromEntries(UP_KINDS.map((kind) => [kind, 0])) as Record<UpKind, number>
}
