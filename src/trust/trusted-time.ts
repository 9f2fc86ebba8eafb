/**
 * What time it may be taken to be. A device's clock starts at 1970 when its battery is empty, and jumps to 2099 when a
 * register flips: the first would let anything expired pass, the second would refuse everything for ever.
 */
export interface TimeFacts {
  /** The device's own clock. */
  readonly wallMs: number
  /** It is later than this: the newest of the build, and the last timestamp that was accepted. */
  readonly floorMs: number
  /** What the director said since the start of this process, and how long ago. */
  readonly told: { readonly timeMs: number; readonly agoMs: number } | undefined
}

export interface TrustedTime {
  readonly ms: number
  readonly source: 'clock' | 'floor' | 'director'
}

/** Nobody leaves a device off for so long. A clock this far ahead of what is known is wrong. */
const AHEAD_MS_MAX = 5 * 365 * 24 * 3600 * 1000

export function trustedTime({ wallMs, floorMs, told }: TimeFacts): TrustedTime {
  if (told !== undefined) return { ms: Math.max(told.timeMs + told.agoMs, floorMs), source: 'director' }
  if (wallMs < floorMs || wallMs > floorMs + AHEAD_MS_MAX) return { ms: floorMs, source: 'floor' }
  return { ms: wallMs, source: 'clock' }
}
