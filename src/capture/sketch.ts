import { Histogram, type HistogramSnapshot } from '../kit/histogram.ts'

/** Powers of ten on both sides of zero: whatever a model's numbers are about, a change of their size shows. */
const POSITIVE = [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6]
const BOUNDS = [...POSITIVE.map((bound) => -bound).reverse(), 0, ...POSITIVE]

export interface SketchSnapshot {
  readonly nan: number
  readonly infinite: number
  /** Of the others; undefined where there is none. */
  readonly min: number | undefined
  readonly max: number | undefined
  readonly mean: number | undefined
  /** Of all that was seen, not of a sample of something larger. */
  readonly variance: number | undefined
  readonly sum: number
  readonly squares: number
  readonly values: HistogramSnapshot
}

/** What many numbers are like, without keeping any of them. */
export class Sketch {
  readonly #values = new Histogram(BOUNDS)
  #nan = 0
  #infinite = 0
  #count = 0
  #min = Number.POSITIVE_INFINITY
  #max = Number.NEGATIVE_INFINITY
  #mean = 0
  /** Welford: the sum of squares of the distances to the mean, which loses nothing where both are large. */
  #distances = 0
  #squares = 0

  add(value: number): void {
    if (Number.isNaN(value)) this.#nan += 1
    else if (Number.isFinite(value)) this.#addFinite(value)
    else this.#infinite += 1
  }

  #addFinite(value: number): void {
    this.#count += 1
    if (value < this.#min) this.#min = value
    if (value > this.#max) this.#max = value
    const distance = value - this.#mean
    this.#mean += distance / this.#count
    this.#distances += distance * (value - this.#mean)
    this.#squares += value * value
    this.#values.add(value)
  }

  get snapshot(): SketchSnapshot {
    const values = this.#values.snapshot
    const isEmpty = this.#count === 0
    return {
      nan: this.#nan,
      infinite: this.#infinite,
      min: isEmpty ? undefined : this.#min,
      max: isEmpty ? undefined : this.#max,
      mean: isEmpty ? undefined : this.#mean,
      variance: isEmpty ? undefined : this.#distances / this.#count,
      sum: values.sum,
      squares: this.#squares,
      values,
    }
  }
}
