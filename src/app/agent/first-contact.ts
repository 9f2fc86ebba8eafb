import type { Random } from '../../kit/random.ts'

/** Who starts later than this after the machine does so alone, and need not wait. */
const BOOT_SECONDS = 600

/** How long to wait before the registry is called for the first time: ten thousand devices may have got their power back with this one. */
export function firstContactMs(of: {
  /** Since the machine has started. */
  readonly upSeconds: number
  readonly secondsMax: number
  readonly random: Random
}): number {
  return of.upSeconds > BOOT_SECONDS ? 0 : of.random.fraction() * of.secondsMax * 1000
}
