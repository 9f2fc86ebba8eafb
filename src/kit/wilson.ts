/** Of the normal distribution: one chance in forty to be wrong. */
const Z = 1.96

/** Of the true rate, after Wilson (1927): what it is at least, after so many of so many. One failure of two is no rate. */
export function wilsonLowerBound(part: number, whole: number): number {
  if (whole === 0) return 0
  const share = part / whole
  const middle = share + Z ** 2 / (2 * whole)
  const spread = Z * Math.sqrt((share * (1 - share)) / whole + Z ** 2 / (4 * whole ** 2))
  return Math.max(0, (middle - spread) / (1 + Z ** 2 / whole))
}
