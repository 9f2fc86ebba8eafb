import type { Result } from './result.ts'
import { toPrintable } from './text.ts'

/** What was run, by the names a person gave. */
export interface Title {
  readonly model: string
  readonly source: string
}

/** The first line says what ran and how long it took; then what came out. */
export function writeLines({ model, source }: Title, result: Result): string[] {
  const title = `model ${model} version ${nameVersions(result)}, ${source}, ${describeTimes(result)}`
  const readings = [...result.readers.values()].flatMap((reader) => reader.lines())
  return [title, ...readings].map(toPrintable)
}

export function toJson({ source }: Title, result: Result): Readonly<Record<string, unknown>> {
  return {
    source,
    version: nameVersions(result),
    requests: result.tookMs.length,
    round_trip_ms_median: roundToMicroseconds(findMedian(result.tookMs)),
    round_trip_ms_min: roundToMicroseconds(result.tookMs.reduce((least, took) => Math.min(least, took))),
    round_trip_ms_max: roundToMicroseconds(result.tookMs.reduce((most, took) => Math.max(most, took))),
    outputs: [...result.readers].map(([name, reader]) => ({ name, ...reader.json() })),
  }
}

function nameVersions({ versions }: Result): string {
  return versions.length === 0 ? 'unknown' : versions.join(', ')
}

function describeTimes({ tookMs }: Result): string {
  const median = `${findMedian(tookMs).toFixed(2)} ms`
  return tookMs.length === 1
    ? `round trip ${median}`
    : `${tookMs.length} requests, round trip ${median} (median)`
}

function findMedian(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? 0
  const lower = Number.isInteger(middle) ? (sorted[middle - 1] ?? 0) : upper
  return (lower + upper) / 2
}

/** A clock's further digits say nothing. */
function roundToMicroseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
