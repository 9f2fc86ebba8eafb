/** A part of the day with a limit of its own; one that ends before it begins goes past midnight. */
interface BandwidthHours {
  /** Minutes after midnight, UTC. */
  readonly fromMinute: number
  readonly toMinute: number
  readonly bytesPerSecond: number | undefined
}

export interface BandwidthTable {
  /** Outside all of the hours; undefined: no limit. */
  readonly bytesPerSecond: number | undefined
  readonly hours: readonly BandwidthHours[]
}

/** The limit at that time: the first hours that it falls into decide. */
export function bandwidthAt(table: BandwidthTable, now: Date): number | undefined {
  const minute = now.getUTCHours() * 60 + now.getUTCMinutes()
  const hours = table.hours.find(({ fromMinute, toMinute }) =>
    fromMinute <= toMinute
      ? fromMinute <= minute && minute < toMinute
      : minute >= fromMinute || minute < toMinute,
  )
  return hours === undefined ? table.bytesPerSecond : hours.bytesPerSecond
}
