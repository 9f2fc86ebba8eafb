/** What was measured, kept until the registry has it: in its room, and coarser before it is lost. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { decodeMessage, Telemetry } from '../../src/link/messages.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { type Batch, pack, thin, thinBatches, unpack } from '../../src/link/telemetry-batch.ts'
import { TelemetryOutbox } from '../../src/link/telemetry-outbox.ts'
import { TelemetryWindow } from '../../src/link/telemetry-window.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { SEED } from '../kit/seed.ts'

const START_MS = 1_800_000_000_000
const MINUTE_MS = 60_000

let folder: Awaited<ReturnType<typeof createFolder>>
let database: Database
let clock: FakeClock
let events: Outbox
beforeEach(async () => {
  folder = await createFolder()
  clock = new FakeClock()
  clock.advance(START_MS)
  database = openDatabase(join(folder.path, 'agent.sqlite'))
  // Written at once, or some time: nobody pulls the plug here.
  database.pragma('synchronous = OFF')
  events = new Outbox({ database, clock, random: systemRandom, bytesMax: 100_000 })
})
afterEach(async () => {
  database.close()
  await folder.remove()
})

const open = (bytesMax: number, ageMsMax?: number) =>
  new TelemetryOutbox({ database, clock, events, bytesMax, ...(ageMsMax !== undefined && { ageMsMax }) })

/** What a minute gives: in six points of ten seconds, or in one. */
function minute(number: number, stepSeconds: 10 | 60 = 60): Batch {
  const window = new TelemetryWindow({ stepSeconds })
  for (let second = 0; second < 60; second += 10) {
    const atMs = START_MS + number * MINUTE_MS + second * 1000
    window.add([{ name: 'temperature_celsius', labels: { zone: 'cpu' }, value: number + second / 100 }], atMs)
    window.add([{ name: 'cpu_percent', value: 5 }], atMs)
  }
  const batch = window.close()
  if (batch === undefined) throw new Error('a minute gives a batch')
  return batch
}

/** All that waits, as the registry would get it. */
function drain(outbox: TelemetryOutbox): Telemetry['batches'] {
  const found: Telemetry['batches'] = []
  for (;;) {
    const message = outbox.next(32_768)
    if (message === undefined) return found
    found.push(...decodeMessage(Telemetry, message.payload).batches)
    outbox.remove(message.last)
  }
}

describe('a batch', () => {
  test('of a window says the least, mean, most and last of each step, and one number where nothing changed', () => {
    expect(minute(3)).toEqual({
      step_seconds: 60,
      from: START_MS + 3 * MINUTE_MS,
      to: START_MS + 3 * MINUTE_MS + 50_000,
      series: [
        { name: 'temperature_celsius', labels: { zone: 'cpu' }, points: [[0, 3, 3.25, 3.5, 3.5]] },
        { name: 'cpu_percent', points: [[0, 5]] },
      ],
    })
  })

  test('put together out of others keeps what was least, most and last, and the mean of all', () => {
    const value = fc.double({ min: -1000, max: 1000, noNaN: true })
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), (values) => {
        const points = values.map((each, index) => ({
          timeMs: START_MS + index * 10_000,
          min: each,
          mean: each,
          max: each,
          last: each,
        }))
        const batch = pack([{ name: 'a', labels: {}, points }], {
          step_seconds: 10,
          from: START_MS,
          to: START_MS,
        })
        const [series] = unpack([thinBatches([batch], 600)])
        const [point] = series?.points ?? []
        expect(series?.points.length).toBe(1)
        expect(point?.min).toBeCloseTo(Math.min(...values), 2)
        expect(point?.max).toBeCloseTo(Math.max(...values), 2)
        expect(point?.last).toBeCloseTo(values.at(-1) ?? 0, 2)
        expect(point?.mean).toBeCloseTo(values.reduce((sum, each) => sum + each, 0) / values.length, 2)
      }),
      { seed: SEED, numRuns: 50 },
    )
  })

  test('in steps of a length is thinned to the same, whatever it was thinned to before', () => {
    const points = Array.from({ length: 360 }, (_, index) => {
      const value = Math.sin(index) * 100
      return { timeMs: START_MS + index * 10_000, min: value, mean: value, max: value, last: value }
    })
    const direct = thin(points, 600_000)
    const stepwise = thin(thin(points, 60_000), 600_000)
    expect(stepwise.map(({ timeMs, min, max, last }) => [timeMs, min, max, last])).toEqual(
      direct.map(({ timeMs, min, max, last }) => [timeMs, min, max, last]),
    )
  })
})

describe('the outbox', () => {
  test('gives what was put, in order, also after a restart, and forgets what the registry has', () => {
    const before = open(1_000_000)
    for (let number = 0; number < 5; number += 1) before.put(minute(number))
    before.remove(2)
    const after = open(1_000_000)
    expect(after.waiting).toMatchObject({ batches: 3, oldestMs: START_MS + 2 * MINUTE_MS, dropped: 0 })
    expect(after.sid).toBe(before.sid)
    expect(drain(after).map(({ seq }) => seq)).toEqual([3, 4, 5])
    expect(after.waiting).toEqual({ bytes: 0, batches: 0, oldestMs: undefined, dropped: 0 })
  })

  test('tells what is of the past from what is of now', () => {
    const outbox = open(1_000_000)
    outbox.put(minute(0))
    clock.advance(10 * MINUTE_MS)
    outbox.put(minute(9))
    expect(drain(outbox).map(({ hist }) => hist)).toEqual([true, false])
  })

  test('more than half full puts the oldest together, ten seconds to a minute, a minute to ten, before it drops any', () => {
    const bytesMax = 40_000
    const outbox = open(bytesMax)
    const steps = new Set<number>()
    for (let number = 0; number < 600; number += 1) {
      outbox.put(minute(number, 10))
      expect(outbox.waiting.bytes).toBeLessThanOrEqual(bytesMax)
    }
    expect(outbox.waiting.dropped).toBe(0)
    const batches = drain(outbox)
    for (const { step_seconds } of batches) steps.add(step_seconds)
    expect([...steps]).toEqual([600, 60, 10].filter((step) => steps.has(step)))
    expect(steps.has(600)).toBe(true)
    // The whole time is there still, in order, each moment once.
    const points = unpack(batches).find(({ name }) => name === 'temperature_celsius')?.points ?? []
    expect(points.map(({ timeMs }) => timeMs)).toEqual(
      [...new Set(points.map(({ timeMs }) => timeMs))].toSorted((a, b) => a - b),
    )
    expect([points[0]?.min, points.at(-1)?.last]).toEqual([0, 599.5])
  })

  test('drops the oldest when all of it is as coarse as can be', () => {
    const outbox = open(3_000)
    for (let number = 0; number < 1_200; number += 1) outbox.put(minute(number))
    const { bytes, dropped } = outbox.waiting
    expect(bytes).toBeLessThanOrEqual(3_000)
    expect(dropped).toBeGreaterThan(0)
    const points = unpack(drain(outbox)).find(({ name }) => name === 'temperature_celsius')?.points ?? []
    expect(points.at(-1)?.last).toBe(1_199.5)
  })

  test('leaves as it is what was sent, because the registry may have it', () => {
    const outbox = open(6_000)
    for (let number = 0; number < 12; number += 1) outbox.put(minute(number))
    const message = outbox.next(1_000)
    const sent = decodeMessage(Telemetry, message?.payload ?? new Uint8Array())
    for (let number = 12; number < 60; number += 1) outbox.put(minute(number))
    const again = decodeMessage(Telemetry, outbox.next(1_000)?.payload ?? new Uint8Array())
    expect(again.batches.slice(0, sent.batches.length).map(({ hist: _, ...batch }) => batch)).toEqual(
      sent.batches.map(({ hist: _, ...batch }) => batch),
    )
  })

  test('makes room for events, which come first', () => {
    const outbox = open(100_000)
    for (let number = 0; number < 300; number += 1) outbox.put(minute(number))
    const before = outbox.waiting.bytes
    for (let number = 0; number < 95; number += 1) events.put({ to: 'x'.repeat(1000) })
    outbox.put(minute(300))
    expect(before).toBeGreaterThan(10_000)
    expect(outbox.waiting.bytes + events.bytes).toBeLessThanOrEqual(100_000)
    expect(events.after(0, 1000).length).toBe(95)
  })

  test('forgets what is too old', () => {
    const outbox = open(1_000_000, 60 * MINUTE_MS)
    outbox.put(minute(0))
    clock.advance(90 * MINUTE_MS)
    outbox.put(minute(89))
    expect(drain(outbox).map(({ from }) => from)).toEqual([START_MS + 89 * MINUTE_MS])
  })
})
