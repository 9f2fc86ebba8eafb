/** What JSON cannot hold is written as text: NaN, infinities, and whole numbers past 2^53. */
export function printJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return Number.isSafeInteger(Number(part)) ? Number(part) : String(part)
    return typeof part === 'number' && !Number.isFinite(part) ? String(part) : part
  })
}
