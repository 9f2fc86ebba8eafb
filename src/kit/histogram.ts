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
    let end = this.bounds.length
    // The first bound that is not below it: where there are many, halving beats walking.
    while (index < end) {
      const middle = (index + end) >>> 1
      if (value > (this.bounds[middle] as number)) index = middle + 1
      else end = middle
    }
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
