/** What has become of loads that something kept could have helped, since the process began. */
export class EngineCounts {
  /** Loaded from what was kept. */
  hits = 0
  /** There was nothing to load from. */
  misses = 0
  kept = 0
  /** Was not what had been written, or did not load, and was taken out. */
  invalid = 0
  evicted = 0
  /** Could not be kept: no room, or a disk that could not be written. */
  failed = 0
  /** Models of which nothing can be kept. */
  unfit = 0
}
