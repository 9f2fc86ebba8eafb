/** Counts by upper bounds, as a histogram of Prometheus: cumulative when read, one addition when written. */
export class Histogram {
  /** Upper bounds, ascending; what is above the last counts as +Inf. */
  readonly bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Array(bounds.length + 1).fill(0)
  }

  add(value: number): void {
    let index = 0
    while (index < this.bounds.length && value > (this.bounds[index] as number)) index += 1
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#sum += value
  }

  get snapshot(): HistogramSnapshot {
    let total = 0
    const cumulative = this.#counts.map((count) => {
      total += count
      return total
    })
    return { bounds: this.bounds, cumulative, sum: this.#sum, count: total }
  }
}

export interface HistogramSnapshot {
  readonly bounds: readonly number[]
  /** One for each bound, and one for all. */
  readonly cumulative: readonly number[]
  readonly sum: number
  readonly count: number
}
