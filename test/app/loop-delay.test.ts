import { expect, test } from 'bun:test'
import { LoopLooks, watchLoopDelay } from '../../src/app/loop-delay.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { threadMs } from '../../src/runtime/thread-time.ts'

/** How many were above each bound, in seconds. */
function above(of: { bounds: readonly number[]; cumulative: readonly number[]; count: number }) {
  return Object.fromEntries(of.bounds.map((bound, index) => [bound, of.count - (of.cumulative[index] ?? 0)]))
}

test('a thread that has little to do is looked at 20 times a second, one that works 200 times', () => {
  const looks = new LoopLooks({ nowMs: 0, busyMs: 0 })
  expect(looks.look({ nowMs: 50, busyMs: 5 })).toBe(50)
  expect(looks.look({ nowMs: 100, busyMs: 10.1 })).toBe(5)
  expect(looks.look({ nowMs: 105, busyMs: 11 })).toBe(5)
  expect(looks.look({ nowMs: 110, busyMs: 11.1 })).toBe(50)
})

test('of a delay, what the thread worked is told from what it waited for a processor', () => {
  const looks = new LoopLooks({ nowMs: 0, busyMs: 0 })
  // 30 ms late, and on the processor throughout.
  looks.look({ nowMs: 80, busyMs: 80 })
  // Due at 85: 100 ms late, of which it worked 3.
  looks.look({ nowMs: 185, busyMs: 83 })
  const { delay, held, heldSecondsMax } = looks.snapshot
  expect(delay.sum).toBeCloseTo(0.13, 9)
  expect(held.sum).toBeCloseTo(0.033, 9)
  expect(above(delay)).toMatchObject({ 0.02: 2, 0.05: 1, 0.1: 0 })
  expect(above(held)).toMatchObject({ 0.002: 2, 0.005: 1, 0.02: 1, 0.05: 0 })
  expect(heldSecondsMax).toBeCloseTo(0.03, 9)
})

test('a timer that is early is not late', () => {
  const looks = new LoopLooks({ nowMs: 0, busyMs: 0 })
  looks.look({ nowMs: 49.5, busyMs: 49 })
  expect(looks.snapshot.delay.sum).toBe(0)
  expect(looks.snapshot.held.sum).toBe(0)
})

test('a loop that is really held up is found working', async () => {
  const snapshot = watchLoopDelay(systemClock)
  const until = threadMs() + 80
  while (threadMs() < until);
  while (snapshot().delay.count === 0) await new Promise((turn) => setTimeout(turn, 1))
  // The look was due after 50 ms; before that the thread may have been put aside, after it not for less.
  expect(snapshot().heldSecondsMax).toBeGreaterThan(0.029)
  expect(snapshot().held.sum).toBeLessThanOrEqual(snapshot().delay.sum)
})
