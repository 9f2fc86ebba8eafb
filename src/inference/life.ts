import { Histogram } from '../kit/histogram.ts'
import type { SwapFacts } from './swap.ts'

/** What a model's config says of how its lanes come and go. */
export interface LifePolicy {
  readonly swap: SwapFacts['policy']
  /** Never let go so that another one fits. */
  readonly isPinned: boolean
  /** Loaded by the first request for it, and again after it was let go for another one. */
  readonly isOnDemand: boolean
  /** Its files are gone once it is loaded: it can neither be let go for another one nor loaded again. */
  readonly isTransient: boolean
}

export const DEFAULT_LIFE: LifePolicy = {
  swap: 'auto',
  isPinned: false,
  isOnDemand: false,
  isTransient: false,
}

const BOUNDS_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** What has become of lanes since the start. */
export class LifeCounts {
  loads = 0
  loadsFailed = 0
  loadsOnDemand = 0
  evictions = 0
  /** Old versions that were loaded again because the new one, which needed their room, failed. */
  restores = 0
  readonly swaps = { keep_both: new Histogram(BOUNDS_SECONDS), drain: new Histogram(BOUNDS_SECONDS) }
}
