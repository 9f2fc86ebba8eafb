import {
  type Batch,
  type Labels,
  type Point,
  pack,
  type SeriesPoints,
  seriesKey,
  thin,
} from './telemetry-batch.ts'

/** A value at a moment. */
export interface Measurement {
  readonly name: string
  readonly labels?: Labels
  readonly value: number
}

/** More than any board has; what comes on top is let go, and counted. */
const SERIES_MAX = 512

/** Collects what is measured until it is put away as one batch. */
export class TelemetryWindow {
  /** Series that had no room, since the start. */
  left = 0
  readonly #stepSeconds: number
  #series = new Map<string, { name: string; labels: Labels; points: Point[] }>()
  #fromMs = Number.POSITIVE_INFINITY
  #toMs = 0

  constructor({ stepSeconds }: { stepSeconds: number }) {
    this.#stepSeconds = stepSeconds
  }

  add(measured: readonly Measurement[], timeMs: number): void {
    this.#fromMs = Math.min(this.#fromMs, timeMs)
    this.#toMs = Math.max(this.#toMs, timeMs)
    for (const { name, labels = {}, value } of measured) {
      if (!Number.isFinite(value)) continue
      const point = { timeMs, min: value, mean: value, max: value, last: value }
      this.#add({ name, labels, point })
    }
  }

  #add({ name, labels, point }: { name: string; labels: Labels; point: Point }): void {
    const key = seriesKey(name, labels)
    const series = this.#series.get(key)
    if (series !== undefined) series.points.push(point)
    else if (this.#series.size < SERIES_MAX) this.#series.set(key, { name, labels, points: [point] })
    else this.left += 1
  }

  /** What was collected, and begins anew; undefined where that is nothing. */
  close(): Batch | undefined {
    const stepMs = this.#stepSeconds * 1000
    const series: SeriesPoints[] = [...this.#series.values()].map((each) => ({
      ...each,
      points: thin(each.points, stepMs),
    }))
    const from = stepMs * Math.floor(this.#fromMs / stepMs)
    const batch =
      series.length === 0
        ? undefined
        : pack(series, { step_seconds: this.#stepSeconds, from, to: this.#toMs })
    this.#series = new Map()
    this.#fromMs = Number.POSITIVE_INFINITY
    this.#toMs = 0
    return batch
  }
}
