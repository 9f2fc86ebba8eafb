/** An entry on disk, as far as making room needs to know it. */
export interface Kept {
  readonly key: string
  readonly bytes: number
  readonly usedMs: number
}

interface Room {
  readonly wanted: { readonly bytes: number; readonly entries: number }
  readonly bytesMax: number
  readonly entriesMax: number
  readonly held: ReadonlySet<string>
}

/**
 * What goes so that what is wanted fits: the longest unused first, never one that is held. Undefined where that is not
 * enough; then nothing goes.
 */
export function chooseEvicted(entries: readonly Kept[], room: Room): readonly Kept[] | undefined {
  let bytes = entries.reduce((sum, entry) => sum + entry.bytes, room.wanted.bytes)
  let count = entries.length + room.wanted.entries
  const fits = () => bytes <= room.bytesMax && count <= room.entriesMax
  const evicted: Kept[] = []
  const free = entries
    .filter(({ key }) => !room.held.has(key))
    .sort((one, other) => one.usedMs - other.usedMs || (one.key < other.key ? -1 : 1))
  for (const entry of free) {
    if (fits()) break
    evicted.push(entry)
    bytes -= entry.bytes
    count -= 1
  }
  return fits() ? evicted : undefined
}
