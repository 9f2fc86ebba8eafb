/** How fast and how often: the bandwidth cap, the window, the waits between attempts. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bandwidthAt } from '../../src/link/bandwidth.ts'
import { Reconnect } from '../../src/link/reconnect.ts'
import { TokenBucket } from '../../src/link/token-bucket.ts'
import { Window } from '../../src/link/window.ts'
import { createDraw } from '../kit/chaos-proxy.ts'
import { SEED } from '../kit/seed.ts'
import { SleepyClock } from '../kit/sleepy-clock.ts'

const NEVER = new AbortController().signal

describe('the bandwidth cap', () => {
  test('is kept within 5 %, whatever the pieces are, over any minute', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 20_000, max: 10_000_000 }),
        fc.integer({ min: 0, max: 2 ** 31 }),
        async (rate, seed) => {
          const clock = new SleepyClock()
          const draw = createDraw(seed)
          const bucket = new TokenBucket({ clock, rate: () => rate })
          let bytes = 0
          while (clock.elapsed() < 60_000) {
            await bucket.ready(NEVER)
            const piece = 1 + Math.floor(draw() * Math.min(120_000, rate / 4))
            bucket.spend(piece)
            bytes += piece
            // Some time passes on the way as well.
            clock.advance(draw() * 3)
          }
          const share = bytes / ((rate * clock.elapsed()) / 1000)
          expect(share).toBeGreaterThan(0.95)
          expect(share).toBeLessThan(1.05)
        },
      ),
      { seed: SEED, numRuns: 50 },
    )
  })

  test('what was not used is not saved up beyond a quarter of a second', async () => {
    const clock = new SleepyClock()
    const bucket = new TokenBucket({ clock, rate: () => 1_000_000 })
    clock.advance(3_600_000)
    expect(await bucket.ready(NEVER)).toBe(250_000)
  })

  test('changes with the hour, and without one nothing waits', async () => {
    const clock = new SleepyClock()
    let rate: number | undefined = 1_000
    const bucket = new TokenBucket({ clock, rate: () => rate })
    bucket.spend(10_000)
    rate = undefined
    const before = clock.elapsed()
    expect(await bucket.ready(NEVER)).toBe(Number.POSITIVE_INFINITY)
    expect(clock.elapsed()).toBe(before)
  })

  test('a signal ends the wait', async () => {
    const clock = new SleepyClock()
    const bucket = new TokenBucket({ clock, rate: () => 1 })
    expect(await bucket.ready(AbortSignal.abort())).toBe(0)
  })
})

describe('the time of day', () => {
  const table = {
    bytesPerSecond: 1,
    hours: [
      { fromMinute: 22 * 60, toMinute: 6 * 60, bytesPerSecond: undefined },
      { fromMinute: 12 * 60, toMinute: 13 * 60, bytesPerSecond: 2 },
      { fromMinute: 12 * 60, toMinute: 20 * 60, bytesPerSecond: 3 },
    ],
  }
  test.each<[string, number | undefined]>([
    ['21:59', 1],
    ['22:00', undefined],
    ['23:59', undefined],
    ['00:00', undefined],
    ['05:59', undefined],
    ['06:00', 1],
    ['11:59', 1],
    ['12:00', 2],
    ['12:59', 2],
    ['13:00', 3],
    ['20:00', 1],
  ])('at %s', (time, expected) => {
    const [hour = 0, minute = 0] = time.split(':').map(Number)
    expect(bandwidthAt(table, new Date(Date.UTC(2026, 5, 1, hour, minute)))).toBe(expected)
  })
})

describe('the window', () => {
  test('grows by a step up to 4 MiB, and is halved down to 64 KiB', () => {
    const window = new Window()
    const first = window.bytes
    window.grow()
    expect(window.bytes - first).toBe(256 * 1024)
    for (let turn = 0; turn < 100; turn += 1) window.grow()
    expect(window.bytes).toBe(4 * 1024 ** 2)
    window.shrink()
    expect(window.bytes).toBe(2 * 1024 ** 2)
    for (let turn = 0; turn < 100; turn += 1) window.shrink()
    expect(window.bytes).toBe(64 * 1024)
  })
})

describe('coming back', () => {
  const failAt = (fraction: number) => {
    const reconnect = new Reconnect({ fraction: () => fraction, bytes: () => new Uint8Array(0) })
    return (stoodMs: number, isBusy = false) => reconnect.after({ stoodMs, isBusy, devices: 0 })
  }

  test('takes anything from nothing to twice as long each time, two minutes at most', () => {
    const most = failAt(0.999_999)
    expect([0, 0, 0, 0, 0, 0, 0, 0, 0].map((stood) => Math.round(most(stood) / 1000))).toEqual([
      1, 2, 4, 8, 16, 32, 64, 120, 120,
    ])
    expect(failAt(0)(0)).toBe(0)
  })

  test('a line that stood a minute makes it short again; one a millisecond shorter does not', () => {
    const wait = failAt(1)
    expect([0, 0, 59_999, 60_000, 0].map((stood) => wait(stood) / 1000)).toEqual([1, 2, 4, 1, 2])
  })

  test('a broker that is busy is left alone for half a minute more', () => {
    expect(failAt(0)(0, true)).toBe(30_000)
  })

  test('of ten thousand devices that lost one broker, no second sees more than a fair share come back', () => {
    const draw = createDraw(SEED)
    const seconds = new Map<number, number>()
    for (let device = 0; device < 10_000; device += 1) {
      const reconnect = new Reconnect({ fraction: draw, bytes: () => new Uint8Array(0) })
      // The broker is gone for a while: each has failed six times before.
      for (let turn = 0; turn < 6; turn += 1) reconnect.after({ stoodMs: 0, isBusy: false, devices: 0 })
      const second = Math.floor(reconnect.after({ stoodMs: 0, isBusy: false, devices: 0 }) / 1000)
      seconds.set(second, (seconds.get(second) ?? 0) + 1)
    }
    const fair = 10_000 / 64
    expect(Math.max(...seconds.values())).toBeLessThan(1.5 * fair)
    expect(seconds.size).toBe(64)
  })

  test('of a fleet whose broker was gone for a moment only, no second sees more than 300 come back', () => {
    const draw = createDraw(SEED)
    const seconds = new Map<number, number>()
    for (let device = 0; device < 10_000; device += 1) {
      const reconnect = new Reconnect({ fraction: draw, bytes: () => new Uint8Array(0) })
      const afterMs = reconnect.after({ stoodMs: 3_600_000, isBusy: false, devices: 10_000 })
      const second = Math.floor(afterMs / 1000)
      seconds.set(second, (seconds.get(second) ?? 0) + 1)
    }
    expect(Math.max(...seconds.values())).toBeLessThan(300)
    expect(seconds.size).toBe(50)
  })
})
