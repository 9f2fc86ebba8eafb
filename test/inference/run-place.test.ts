import { expect, test } from 'bun:test'
import { RunPlace } from '../../src/inference/run-place.ts'

const QUICK_MS = 0.15
const BYTES_MAX = 65_536

function learned(...runs: readonly number[]): RunPlace {
  const place = new RunPlace()
  for (const runMs of runs) place.learn(runMs)
  return place
}

const quick = (count: number) => Array.from({ length: count }, () => QUICK_MS)

test('in line after 32 quick runs, not after 31', () => {
  expect(learned(...quick(31)).isInline(0)).toBe(false)
  expect(learned(...quick(32)).isInline(0)).toBe(true)
  expect(learned(...quick(500)).isInline(0)).toBe(true)
})

test('with inputs of 64 KiB, not with a byte more', () => {
  expect(learned(...quick(32)).isInline(BYTES_MAX)).toBe(true)
  expect(learned(...quick(32)).isInline(BYTES_MAX + 1)).toBe(false)
})

test('one run over the limit takes it back, and 32 quick ones are wanted again', () => {
  expect(learned(...quick(500), QUICK_MS + 0.001).isInline(0)).toBe(false)
  expect(learned(...quick(500), QUICK_MS + 0.001, ...quick(31)).isInline(0)).toBe(false)
  expect(learned(...quick(500), QUICK_MS + 0.001, ...quick(32)).isInline(0)).toBe(true)
})

test('a time that is no number is not quick', () => {
  expect(learned(...quick(32), Number.NaN).isInline(0)).toBe(false)
})
