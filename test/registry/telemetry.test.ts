/** What devices have measured and complain of, as the registry keeps it and tells it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Batch } from '../../src/link/telemetry-batch.ts'
import { type ArrivedBatch, DEFAULT_LIMITS, TelemetryStore } from '../../src/registry/telemetry.ts'
import { TelemetryIntake } from '../../src/registry/telemetry-intake.ts'
import { bodyOf, type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage
beforeAll(async () => {
  stage = await stageRegistry()
})
afterAll(() => stage.remove())

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** The stage's clock stands there. */
const NOW_MS = 1_800_000_000_000

function batch(fromMs: number, value: number, stepSeconds = 60): Batch {
  return {
    step_seconds: stepSeconds,
    from: fromMs,
    to: fromMs + stepSeconds * 1000 - 10_000,
    series: [
      {
        name: 'temperature_celsius',
        labels: { zone: 'cpu' },
        points: [[0, value - 1, value, value + 1, value]],
      },
      { name: 'cpu_percent', points: [[0, 7]] },
    ],
  }
}

const arrived = (device: string, seq: number, of: Batch): ArrivedBatch => ({
  ...of,
  device,
  sid: 'a-tm',
  seq,
})
const enrol = (device: string) => stage.registry.devices.enrol(device, {})
const DAY = { names: [], fromMs: NOW_MS - DAY_MS, toMs: NOW_MS, pointsMax: 2_000 }

async function ask(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await stage.app.request(path, { headers: stage.as('viewer') })
  return { status: answer.status, body: await bodyOf(answer) }
}

describe('batches', () => {
  test('that come twice, or late, are there once and in order', () => {
    enrol('cam-01')
    const { telemetry } = stage.registry
    const sent = [3, 2, 1].map((ago, index) =>
      arrived('cam-01', index + 1, batch(NOW_MS - ago * MINUTE_MS, ago)),
    )
    telemetry.keep(sent.slice(0, 2))
    telemetry.keep(sent)
    telemetry.keep(sent.slice(0, 1))
    const [series] = telemetry.history('cam-01', { ...DAY, names: ['temperature_celsius'] })
    expect(series?.points.map(({ timeMs, last }) => [timeMs, last])).toEqual([
      [NOW_MS - 3 * MINUTE_MS, 3],
      [NOW_MS - 2 * MINUTE_MS, 2],
      [NOW_MS - MINUTE_MS, 1],
    ])
  })

  test('of one message are acknowledged by the last of them, once they are on disk', () => {
    enrol('cam-02')
    const acknowledged: unknown[] = []
    const intake = new TelemetryIntake({
      store: stage.registry.telemetry,
      clock: {
        ...stage.clock,
        sleep: () => new Promise(() => undefined),
        now: () => NOW_MS,
        elapsed: () => 0,
      },
      acknowledge: (device, item) => acknowledged.push({ device, ...item }),
    })
    const batches = [5, 4].map((ago, index) => ({
      seq: index + 1,
      hist: true,
      ...batch(NOW_MS - ago * MINUTE_MS, ago),
    }))
    intake.take('cam-02', { sid: 'b-tm', batches })
    expect(acknowledged).toEqual([])
    intake.flush()
    expect(acknowledged).toEqual([{ device: 'cam-02', sid: 'b-tm', seq: 2 }])
    expect(stage.registry.telemetry.history('cam-02', DAY)[0]?.points.length).toBe(2)
  })

  test('of a device whose clock is ahead are not of the future', () => {
    enrol('cam-03')
    stage.registry.telemetry.keep([arrived('cam-03', 1, batch(NOW_MS + 365 * DAY_MS, 1))])
    const [series] = stage.registry.telemetry.history('cam-03', DAY)
    expect(series?.points.map(({ timeMs }) => timeMs <= NOW_MS)).toEqual([true])
  })
})

describe('what is old', () => {
  test('becomes points of ten minutes beside the minutes, each minute counted once, also when some come late', () => {
    enrol('cam-04')
    const { telemetry } = stage.registry
    const startMs = 600_000 * Math.floor((NOW_MS - 3 * DAY_MS) / 600_000)
    const minutes = Array.from({ length: 10 }, (_, index) => batch(startMs + index * MINUTE_MS, index))
    telemetry.keep(minutes.slice(0, 4).map((each, index) => arrived('cam-04', index + 1, each)))
    while (telemetry.tidy());
    telemetry.keep(minutes.slice(4).map((each, index) => arrived('cam-04', index + 5, each)))
    while (telemetry.tidy());
    const week = { ...DAY, fromMs: NOW_MS - 7 * DAY_MS, names: ['temperature_celsius'] }
    const [coarse] = telemetry.history('cam-04', week)
    expect(coarse?.points.map(({ timeMs, min, mean, max, last }) => [timeMs, min, mean, max, last])).toEqual([
      [startMs, -1, 4.5, 10, 9],
    ])
    const [fine] = telemetry.history('cam-04', { ...week, fromMs: startMs, toMs: startMs + 3_600_000 })
    expect(fine?.points.length).toBe(10)
  })

  test('what a device has put together itself stands beside the rest', () => {
    enrol('cam-05')
    const { telemetry } = stage.registry
    const startMs = 600_000 * Math.floor((NOW_MS - DAY_MS / 2) / 600_000)
    telemetry.keep([
      arrived('cam-05', 1, batch(startMs, 5, 600)),
      arrived('cam-05', 2, batch(startMs + 600_000, 6)),
    ])
    const [series] = telemetry.history('cam-05', { ...DAY, names: ['temperature_celsius'] })
    expect(series?.points.map(({ mean }) => mean)).toEqual([5, 6])
  })

  test('goes when its time is over, and when there is too much: the fine ones first, the oldest first', () => {
    const { database, clock } = stage
    enrol('cam-06')
    const limits = { ...DEFAULT_LIMITS, bytesMax: 40_000 }
    const store = new TelemetryStore({ database, clock, limits })
    store.keep([
      arrived('cam-06', 1, batch(NOW_MS - 100 * DAY_MS, 1)),
      arrived('cam-06', 2, batch(NOW_MS - 8 * DAY_MS, 2)),
    ])
    while (store.tidy());
    const quarter = { names: ['temperature_celsius'], fromMs: 0, toMs: NOW_MS, pointsMax: 2_000 }
    expect(store.history('cam-06', quarter)[0]?.points.map(({ last }) => last)).toEqual([2])
    store.keep(
      Array.from({ length: 1_000 }, (_, index) =>
        arrived('cam-06', index + 3, batch(NOW_MS - 6 * DAY_MS + index * MINUTE_MS, index)),
      ),
    )
    while (store.tidy());
    expect(store.bytes).toBeLessThanOrEqual(40_000)
    expect(store.bytes).toBe(new TelemetryStore({ database, clock, limits }).bytes)
    const points = store.history('cam-06', quarter)[0]?.points ?? []
    expect(points.at(-1)?.last).toBe(999)
    expect(points.length).toBeGreaterThan(90)
  })
})

describe('the API', () => {
  test('tells a history by names and times, in no more points than asked for', async () => {
    enrol('door-01')
    stage.registry.telemetry.keep(
      Array.from({ length: 120 }, (_, index) =>
        arrived('door-01', index + 1, batch(NOW_MS - (120 - index) * MINUTE_MS, index)),
      ),
    )
    const path = '/v1/devices/door-01/telemetry'
    const { body } = await ask(`${path}?names=temperature_celsius`)
    const [series] = body['series'] as { name: string; labels: object; points: number[][] }[]
    expect(body['series']).toHaveLength(1)
    expect(series).toMatchObject({ name: 'temperature_celsius', labels: { zone: 'cpu' } })
    expect(series?.points.length).toBe(120)
    expect(series?.points[0]).toEqual([NOW_MS - 120 * MINUTE_MS, -1, 0, 1, 0])
    const from = new Date(NOW_MS - 60 * MINUTE_MS).toISOString()
    const few = (await ask(`${path}?from=${from}&points_max=10`)).body['series'] as { points: number[][] }[]
    expect(few.length).toBe(2)
    expect(few.every(({ points }) => points.length <= 11 && points.length > 5)).toBe(true)
  })

  test('says what is wrong with a question', async () => {
    enrol('door-02')
    expect((await ask('/v1/devices/nobody/telemetry')).status).toBe(404)
    const wrong = await ask('/v1/devices/door-02/telemetry?from=yesterday&points_max=1')
    expect(wrong.status).toBe(400)
    expect(String(wrong.body['message'])).toMatch(/from[\s\S]*points_max|points_max[\s\S]*from/)
  })

  test('tells alerts as they stand: raised, changed, cleared, and settled by a report', async () => {
    enrol('door-03')
    const { devices } = stage.registry
    const alert = {
      kind: 'alert',
      name: 'temperature',
      subject: 'cpu',
      severity: 'warning',
      since: NOW_MS,
      time: NOW_MS,
      value: 91,
      limit: 90,
      message: 'cpu is at 91 °C',
    }
    const event = (seq: number, body: object) => ({ device: 'door-03', sid: 'a', seq, body })
    devices.keepEvents([
      event(1, { ...alert, state: 'raised' }),
      event(2, { ...alert, name: 'disk', subject: '/', state: 'raised' }),
    ])
    devices.keepEvents([event(3, { ...alert, severity: 'critical', value: 101, state: 'raised' })])
    const names = async (path: string) =>
      (
        (await ask(path)).body['alerts'] as {
          device: string
          name: string
          severity: string
          cleared: string | null
        }[]
      )
        .filter(({ device }) => device === 'door-03')
        .map(({ name, severity, cleared }) => [name, severity, cleared !== null])
    expect((await names('/v1/alerts?active=true')).toSorted()).toEqual([
      ['disk', 'warning', false],
      ['temperature', 'critical', false],
    ])
    expect(await names('/v1/alerts?active=true&severity=critical')).toEqual([
      ['temperature', 'critical', false],
    ])
    const { alerts, total } = (await ask('/v1/alerts?active=true&count=1')).body
    expect([(alerts as unknown[]).length, Number(total)]).toEqual([1, 2])
    expect((await ask('/v1/alerts?severity=grave')).status).toBe(400)
    // A copy of the first event changes nothing.
    devices.keepEvents([event(1, { ...alert, state: 'raised' })])
    devices.keepEvents([event(4, { ...alert, time: NOW_MS + 5, state: 'cleared' })])
    expect(await names('/v1/alerts?active=true')).toEqual([['disk', 'warning', false]])
    expect(await names('/v1/devices/door-03/alerts')).toEqual([
      ['disk', 'warning', false],
      ['temperature', 'warning', true],
    ])
    // Its disk was lost, and with it what it knew of the alert.
    devices.keepState('door-03', { sid: 'b', seq: 1, online: true, body: { alerts: [] } })
    expect(await names('/v1/alerts?active=true')).toEqual([])
  })

  test('says of a device whether it is alive, warns or is gone, and how far its clock is off', async () => {
    enrol('door-04')
    const { devices, liveness } = stage.registry
    const look = async () => (await ask('/v1/devices/door-04')).body
    expect(await look()).toMatchObject({
      liveness: 'offline',
      online: false,
      last_heartbeat: null,
      clock_offset_ms: null,
    })
    devices.keepState('door-04', { sid: 'a', seq: 1, online: true, body: {} })
    liveness.note('door-04', { sid: 'a', seq: 1, time: NOW_MS + 5_000, every_seconds: 10, status: 'ok' })
    expect(await look()).toMatchObject({
      liveness: 'alive',
      online: true,
      clock_offset_ms: 5_000,
      last_heartbeat: { status: 'ok', received: new Date(NOW_MS).toISOString() },
    })
    devices.keepEvents([
      {
        device: 'door-04',
        sid: 'a',
        seq: 1,
        body: {
          kind: 'alert',
          name: 'disk',
          state: 'raised',
          severity: 'warning',
          since: NOW_MS,
          time: NOW_MS,
          value: 95,
          limit: 90,
          message: 'full',
        },
      },
    ])
    expect(await look()).toMatchObject({ liveness: 'warning' })
    // No will was said, and no heartbeat has come for more than three periods.
    stage.clock.advance(30_001)
    expect(await look()).toMatchObject({ liveness: 'offline', online: false })
    // The registry, or its broker, is new: nobody is gone before there was time for three heartbeats.
    liveness.listenAnew()
    expect(await look()).toMatchObject({ online: true })
    stage.clock.advance(30_001)
    expect(await look()).toMatchObject({ online: false })
  })
})
