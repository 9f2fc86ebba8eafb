/** How much of what comes is let in while a board is hot, so that it does not slow everything down by itself. Pure. */

export interface HeatLimits {
  /** From here on less is let in. */
  readonly shedCelsius: number
  /** From here on the board throttles: much less is let in. */
  readonly throttleCelsius: number
}

/** Something is always let in: the heat may have another cause, and a client that asks again gets its answer. */
export const SHARE_MIN = 0.1
const STEP_DOWN = 0.1
const STEP_UP = 0.05
/** Within so much below the limit nothing changes: a share that was just enough is not raised at once. */
const MARGIN_CELSIUS = 3

/**
 * The share for the time until the next look, out of the one until now: a step less while it is too hot, half at once
 * where the board throttles, the same within the margin, half a step more below it. Without a temperature all is let in.
 */
export function nextShare(share: number, celsius: number | undefined, limits: HeatLimits): number {
  if (celsius === undefined) return 1
  if (celsius >= limits.throttleCelsius) return Math.max(SHARE_MIN, share / 2)
  if (celsius >= limits.shedCelsius) return Math.max(SHARE_MIN, round(share - STEP_DOWN))
  if (celsius > limits.shedCelsius - MARGIN_CELSIUS) return share
  return Math.min(1, round(share + STEP_UP))
}

/** To where steps that were taken down and up again meet. */
function round(share: number): number {
  return Math.round(share * 1000) / 1000
}
