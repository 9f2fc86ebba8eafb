/** A registry that has come anew is told again what a device is like, and not by all devices at once. */
import { expect, test } from 'bun:test'
import { systemRandom } from '../../src/kit/random.ts'
import type { Exchange } from '../../src/link/exchange.ts'
import type { Line } from '../../src/link/line.ts'
import { encodeMessage } from '../../src/link/messages.ts'
import { Sync } from '../../src/link/sync.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'

const LINE = { isOpen: true } as unknown as Line

/** Asks, hears of another run of the registry, and gives when the state was said and when it asked again. */
async function follow(devices: number, fraction: number): Promise<{ saidMs: number; askedMs: number }> {
  const clock = new FlowingClock()
  const stop = new AbortController()
  let sid = 'first'
  let noticedMs = 0
  const asked: number[] = []
  const said: number[] = []
  const sync: Sync = new Sync({
    clock,
    random: { ...systemRandom, fraction: () => fraction },
    exchange: {
      askOnce: () => {
        asked.push(clock.elapsed())
        return Promise.resolve(encodeMessage({ sid, desired: null, time_ms: clock.now() }))
      },
    } as unknown as Exchange,
    frameBytes: () => 4096,
    rev: () => 0,
    onRebirth: () => {
      said.push(clock.elapsed())
      return Promise.resolve()
    },
    onAnswer: (_, { isNew }) => {
      if (asked.length === 2) return stop.abort()
      expect(isNew).toBe(true)
      // After the answer has been taken in: then it waits.
      queueMicrotask(() =>
        queueMicrotask(() => {
          sid = 'second'
          noticedMs = clock.elapsed()
          sync.notice({ online: true, sid, devices })
        }),
      )
    },
  })
  await sync.run(LINE, stop.signal)
  expect(said.length).toBe(1)
  return { saidMs: (said[0] ?? 0) - noticedMs, askedMs: (asked[1] ?? 0) - noticedMs }
}

test.each([
  // Fifty a second, in five minutes at most; a few devices within five seconds.
  [1_000, 10_000],
  [500_000, 150_000],
  [3, 2_500],
] as const)('of %d devices, one in the middle comes after %d ms', async (devices, afterMs) => {
  expect(await follow(devices, 0.5)).toEqual({ saidMs: afterMs, askedMs: afterMs })
})

test('the first of all comes at once', async () => {
  expect(await follow(10_000, 0)).toEqual({ saidMs: 0, askedMs: 0 })
})
