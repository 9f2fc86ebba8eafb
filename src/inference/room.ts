/** A lane, as far as room for another one is concerned. */
export interface Resident {
  /** "model/version" */
  readonly id: string
  readonly bytes: number
  readonly lastUsedMs: number
  /** Its turn lasts until then: what has just been loaded serves before it makes room again. */
  readonly turnEndsMs: number
  /** May not be let go. */
  readonly isPinned: boolean
}

/** Let these go, look again after a while, or give up. */
export type RoomVerdict =
  | { readonly evict: readonly string[] }
  | { readonly waitMs: number }
  | { readonly refuse: string }

/**
 * Whom a version of so many bytes takes the place of: those that were used least recently, no more than have to go, none
 * that is pinned, and none whose turn has not ended. `bytesMax` of 0 is no bound.
 */
export function makeRoom(
  need: { readonly bytes: number; readonly bytesMax: number },
  residents: readonly Resident[],
  nowMs: number,
): RoomVerdict {
  const { bytes, bytesMax } = need
  if (bytesMax === 0) return { evict: [] }
  if (bytes > bytesMax)
    return { refuse: `it needs ${bytes} bytes, at most ${bytesMax} (models.memory_bytes_max)` }
  const over = sum(residents) + bytes - bytesMax
  if (over <= 0) return { evict: [] }
  const movable = residents.filter(({ isPinned }) => !isPinned)
  if (sum(movable) < over) {
    const held = sum(residents) - sum(movable)
    return {
      refuse: `it needs ${bytes} bytes, and ${held} of ${bytesMax} (models.memory_bytes_max) are held by what is not let go`,
    }
  }
  const ripe = movable.filter(({ turnEndsMs }) => turnEndsMs <= nowMs)
  if (sum(ripe) >= over) return { evict: leastRecent(ripe, over) }
  const turns = movable.map(({ turnEndsMs }) => turnEndsMs).filter((endsMs) => endsMs > nowMs)
  return { waitMs: Math.min(...turns) - nowMs }
}

function leastRecent(ripe: readonly Resident[], over: number): string[] {
  let chosen: Resident[] = []
  for (const resident of [...ripe].sort((a, b) => a.lastUsedMs - b.lastUsedMs)) {
    if (sum(chosen) >= over) break
    chosen.push(resident)
  }
  // A large one that came late may have made others needless: the most recently used are spared first.
  for (const resident of [...chosen].reverse()) {
    const others = chosen.filter((other) => other !== resident)
    if (sum(others) >= over) chosen = others
  }
  return chosen.map(({ id }) => id)
}

function sum(residents: readonly Resident[]): number {
  return residents.reduce((total, { bytes }) => total + bytes, 0)
}
