/** What the acts need to say what they saw. */

export function claim(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Error(`Not so: ${what}`)
}

export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

export function round(value: number): number {
  return Math.round(value * 10) / 10
}
