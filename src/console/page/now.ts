/** The page's only reader of the time. */
export function now(): number {
  return Date.now()
}
