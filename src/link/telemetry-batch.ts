import { z } from 'zod'

/**
 * Measured values over a stretch of time, as they are kept on the device, travel, and are kept by the registry. Times
 * are seconds since the batch's beginning; a point of one number is a value that was the same all along.
 */

const SERIES_MAX = 1024
const POINTS_MAX = 600
const TIME_MS_MAX = 2 ** 48

const Value = z.number()
const Offset = z
  .int()
  .min(0)
  .max(7 * 86_400)
const PackedPoint = z.union([z.tuple([Offset, Value]), z.tuple([Offset, Value, Value, Value, Value])])

const Labels = z
  .record(z.string().regex(/^[a-z][a-z0-9_]{0,31}$/), z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 8, 'at most 8 labels')

const Series = z.object({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/),
  labels: Labels.optional(),
  points: z.array(PackedPoint).min(1).max(POINTS_MAX),
})

export const Batch = z.object({
  /** Between two points. */
  step_seconds: z.int().min(1).max(86_400),
  /** Milliseconds since 1970 by the device's clock. */
  from: z.int().min(0).max(TIME_MS_MAX),
  to: z.int().min(0).max(TIME_MS_MAX),
  series: z.array(Series).max(SERIES_MAX),
})
export type Batch = Readonly<z.infer<typeof Batch>>
export type Labels = Readonly<Record<string, string>>
type PackedPoint = z.infer<typeof PackedPoint>

/** One point of a series, unpacked. */
export interface Point {
  readonly timeMs: number
  readonly min: number
  readonly mean: number
  readonly max: number
  readonly last: number
  /** How much its mean counts beside that of others. */
  readonly weight?: number
}

export interface SeriesPoints {
  readonly name: string
  readonly labels: Labels
  readonly points: readonly Point[]
}

/** More digits than any sensor has would only cost bytes. */
const SCALE = 1000

type Weighable = Batch & { readonly weight?: number }

/** The series of several batches, each in the order of time. */
export function unpack(batches: readonly Weighable[], isWanted = (_name: string) => true): SeriesPoints[] {
  const found = new Map<string, { name: string; labels: Labels; points: Point[] }>()
  for (const batch of batches) {
    for (const { name, labels = {}, points } of batch.series) {
      if (!isWanted(name)) continue
      const key = seriesKey(name, labels)
      const series = found.get(key) ?? { name, labels, points: [] }
      found.set(key, series)
      for (const point of points) series.points.push(unpackPoint(batch, point))
    }
  }
  for (const { points } of found.values()) points.sort((a, b) => a.timeMs - b.timeMs)
  return [...found.values()]
}

function unpackPoint({ from, weight = 1 }: Weighable, [offset, first, mean, max, last]: PackedPoint): Point {
  return {
    timeMs: from + offset * 1000,
    weight,
    min: first,
    mean: mean ?? first,
    max: max ?? first,
    last: last ?? first,
  }
}

export function pack(series: readonly SeriesPoints[], of: Omit<Batch, 'series'>): Batch {
  return {
    ...of,
    series: series.map(({ name, labels, points }) => ({
      name,
      ...(Object.keys(labels).length > 0 && { labels: { ...labels } }),
      points: points.map((point) => packPoint(of.from, point)),
    })),
  }
}

function packPoint(fromMs: number, { timeMs, ...values }: Point): PackedPoint {
  const offset = Math.max(0, Math.floor((timeMs - fromMs) / 1000))
  const [min, mean, max, last] = [values.min, values.mean, values.max, values.last].map(round)
  if (min === undefined || mean === undefined || max === undefined || last === undefined) return [offset, 0]
  return min === max ? [offset, min] : [offset, min, mean, max, last]
}

function round(value: number): number {
  return Math.round(value * SCALE) / SCALE
}

/** Fewer points for the same time: of those within a step the least, the mean, the most and the last. */
export function thin(points: readonly Point[], stepMs: number): Point[] {
  const steps = new Map<number, Point[]>()
  for (const point of points) {
    const at = stepMs * Math.floor(point.timeMs / stepMs)
    const within = steps.get(at)
    if (within === undefined) steps.set(at, [point])
    else within.push(point)
  }
  return [...steps].map(([timeMs, within]) => ({ ...summarise(within), timeMs }))
}

function summarise(points: readonly Point[]): Omit<Point, 'timeMs'> {
  const weight = points.reduce((sum, each) => sum + (each.weight ?? 1), 0)
  return {
    weight,
    min: points.reduce((least, { min }) => Math.min(least, min), Number.POSITIVE_INFINITY),
    mean: points.reduce((sum, each) => sum + each.mean * (each.weight ?? 1), 0) / weight,
    max: points.reduce((most, { max }) => Math.max(most, max), Number.NEGATIVE_INFINITY),
    last: points.at(-1)?.last ?? 0,
  }
}

/** Several batches as one with longer steps. */
export function thinBatches(batches: readonly Weighable[], stepSeconds: number): Batch {
  const stepMs = stepSeconds * 1000
  const first = batches.reduce((least, { from }) => Math.min(least, from), Number.POSITIVE_INFINITY)
  const series = unpack(batches).map((each) => ({ ...each, points: thin(each.points, stepMs) }))
  return pack(series, {
    step_seconds: stepSeconds,
    from: stepMs * Math.floor(first / stepMs),
    to: batches.reduce((most, { to }) => Math.max(most, to), 0),
  })
}

export function seriesKey(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return `${name}{${pairs.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join()}}`
}
