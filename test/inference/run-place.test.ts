import { expect, test } from 'bun:test'
import { RunPlace } from '../../src/inference/run-place.ts'
import type { RunRequest } from '../../src/runtime/backend.ts'

const QUICK_MS = 0.15
const BYTES_MAX = 65_536
const HELD_UP_MS_MAX = 10
const RUN: RunRequest = { inputs: [], outputs: [] }

interface Run {
  readonly runMs: number
  readonly busyMs?: number
}

function learned(...runs: readonly Run[]): RunPlace {
  const place = new RunPlace()
  for (const run of runs) place.learn(run)
  return place
}

const times = (count: number, run: Run) => Array.from({ length: count }, () => run)
const quick = (count: number) => times(count, { runMs: QUICK_MS, busyMs: QUICK_MS })
/** In line, where only the clock is looked at. */
const unmeasured = (runMs: number) => [{ runMs }]
const isWatched = (place: RunPlace) => place.watched(RUN).isMeasured === true

test('in line after 32 quick runs, not after 31', () => {
  expect(learned(...quick(31)).isInline(0)).toBe(false)
  expect(learned(...quick(32)).isInline(0)).toBe(true)
  expect(learned(...quick(500)).isInline(0)).toBe(true)
})

test('with inputs of 64 KiB, not with a byte more', () => {
  expect(learned(...quick(32)).isInline(BYTES_MAX)).toBe(true)
  expect(learned(...quick(32)).isInline(BYTES_MAX + 1)).toBe(false)
})

test('one run that took more of the processor takes it back, and 32 quick ones are wanted again', () => {
  const slow = { runMs: QUICK_MS + 0.001, busyMs: QUICK_MS + 0.001 }
  expect(learned(...quick(500), slow).isInline(0)).toBe(false)
  expect(learned(...quick(500), slow, ...quick(31)).isInline(0)).toBe(false)
  expect(learned(...quick(500), slow, ...quick(32)).isInline(0)).toBe(true)
})

test('a thread that was put aside does not count against the model', () => {
  expect(learned(...times(32, { runMs: 40, busyMs: QUICK_MS })).isInline(0)).toBe(true)
})

test('a run that was long by the clock has the next 32 measured, and changes nothing else', () => {
  const place = learned(...quick(32), ...unmeasured(QUICK_MS + 0.001))
  expect(place.isInline(0)).toBe(true)
  for (const run of quick(32)) {
    expect(isWatched(place)).toBe(true)
    place.learn(run)
  }
  expect(isWatched(place)).toBe(false)
  expect(place.watched(RUN)).toBe(RUN)
  expect(place.isInline(0)).toBe(true)
})

test('the second of two long runs is found out', () => {
  const place = learned(...quick(32), ...unmeasured(QUICK_MS + 0.001), ...quick(31))
  expect(isWatched(place)).toBe(true)
  place.learn({ runMs: 0.2, busyMs: 0.2 })
  expect(place.isInline(0)).toBe(false)
})

test('who has held up the main thread for more than 10 ms goes, whatever was the reason', () => {
  expect(learned(...quick(32), ...unmeasured(HELD_UP_MS_MAX)).isInline(0)).toBe(true)
  expect(learned(...quick(32), ...unmeasured(HELD_UP_MS_MAX + 0.001)).isInline(0)).toBe(false)
})

test('a time that is no number is not quick', () => {
  expect(learned(...quick(32), { runMs: 0.01, busyMs: Number.NaN }).isInline(0)).toBe(false)
  expect(learned(...quick(32), ...unmeasured(Number.NaN)).isInline(0)).toBe(false)
})
