/** A device that looks at itself: what it puts away, what it says at once, and what it still knows after a restart. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { AlertBook } from '../../src/app/agent/alert-book.ts'
import { HealthMonitor } from '../../src/app/agent/health-monitor.ts'
import { ServedModels } from '../../src/app/agent/served-models.ts'
import type { AlertRule } from '../../src/health/alerts.ts'
import type { Measured } from '../../src/health/source.ts'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { Batch } from '../../src/link/telemetry-batch.ts'
import { FakeClock } from '../kit/fake-clock.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const START_MS = 1_800_000_000_000
const HOT: AlertRule = {
  name: 'temperature',
  measured: 'temperature_celsius',
  subject: 'zone',
  beyond: 'above',
  warning: 90,
  critical: 100,
  margin: 5,
  unit: ' °C',
}

let database: Database
let clock: FakeClock
let events: object[]
let kept: Batch[]
let celsius: number
beforeEach(() => {
  database = openDatabase(':memory:')
  clock = new FakeClock()
  clock.advance(START_MS)
  events = []
  kept = []
  celsius = 50
})
afterEach(() => database.close())

const measure = (): Measured[] => [
  { name: 'temperature_celsius', labels: { zone: 'cpu' }, value: celsius },
  { name: 'model_p95_ms', labels: { model: 'yolo', version: '2' }, value: 12.34 },
]

function start(): { monitor: HealthMonitor; changes: () => number } {
  let changes = 0
  const monitor = new HealthMonitor({
    clock,
    sampler: { sample: () => Promise.resolve(measure()), problems: [] },
    rules: [HOT],
    book: new AlertBook({ database, report: (event) => events.push(event) }),
    telemetry: { put: (batch) => kept.push(batch) },
    sampleSeconds: 10,
    pointsSeconds: 60,
    onAlert: () => {
      changes += 1
    },
  })
  return { monitor, changes: () => changes }
}

async function look(monitor: HealthMonitor, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    await monitor.look()
    clock.advance(10_000)
  }
}

describe('a monitor', () => {
  test('puts away once a minute what it has seen, however often it looked', async () => {
    const { monitor } = start()
    for (const value of [50, 60, 40, 50, 50, 50, 55]) {
      celsius = value
      await look(monitor, 1)
    }
    expect(kept.map(({ from, series }) => [from, series[0]])).toEqual([
      [
        START_MS,
        {
          name: 'temperature_celsius',
          labels: { zone: 'cpu' },
          points: [
            [0, 40, 50, 60, 50],
            [60, 55],
          ],
        },
      ],
    ])
  })

  test('says in a heartbeat what there is to say, and no more', async () => {
    const { monitor } = start()
    await look(monitor, 3)
    expect(monitor.live).toEqual({
      uptime_seconds: 30,
      status: 'ok',
      alerts: 0,
      values: { temperature_celsius: 50 },
      models: [{ model: 'yolo', version: '2', p95_ms: 12.3 }],
    })
  })

  test('tells an alert once, knows it after a restart, and clears what it raised before', async () => {
    const before = start()
    celsius = 95
    await look(before.monitor, 9)
    expect(before.changes()).toBe(1)
    expect(before.monitor.live).toMatchObject({ status: 'warning', alerts: 1 })
    const after = start()
    expect(after.monitor.alerts).toMatchObject([
      {
        name: 'temperature',
        subject: 'cpu',
        severity: 'warning',
        message: 'temperature of cpu is 95 °C, the limit is 90 °C',
      },
    ])
    await look(after.monitor, 5)
    celsius = 60
    await look(after.monitor, 5)
    expect(events).toMatchObject([
      { kind: 'alert', name: 'temperature', subject: 'cpu', state: 'raised', severity: 'warning', value: 95 },
      {
        kind: 'alert',
        name: 'temperature',
        subject: 'cpu',
        state: 'cleared',
        severity: 'warning',
        value: 60,
      },
    ])
    expect(start().monitor.alerts).toEqual([])
  })

  test('that is stopped puts away what it has', async () => {
    const { monitor } = start()
    await monitor.look()
    const stop = new AbortController()
    stop.abort()
    await monitor.run(stop.signal)
    expect(kept.length).toBe(1)
  })
})

describe('models', () => {
  const metrics = (of: { good: number; bad: number; slow: number; last: number }) => `
nv_inference_request_success{model="yolo",version="2"} ${of.good}
nv_inference_request_failure{model="yolo",version="2",reason="BACKEND"} ${of.bad}
nv_inference_request_failure{model="yolo",version="2",reason="CANCELED"} 99
nv_inference_pending_request_count{model="yolo",version="2"} 3
nv_inference_request_duration_histogram_us_bucket{model="yolo",version="2",le="1000"} ${of.good - of.slow}
nv_inference_request_duration_histogram_us_bucket{model="yolo",version="2",le="5000"} ${of.good}
nv_inference_request_duration_histogram_us_bucket{model="yolo",version="2",le="+Inf"} ${of.good}
limpet_inference_last_timestamp_seconds{model="yolo",version="2"} ${of.last}
limpet_model_nodes{model="yolo",version="2",provider="CUDAExecutionProvider"} 118
limpet_model_nodes{model="yolo",version="2",provider="CPUExecutionProvider"} 4
`
  let text: string | undefined
  const open = () => new ServedModels({ clock, readMetrics: () => Promise.resolve(text) })
  const read = async (models: ServedModels) =>
    Object.fromEntries((await models.read()).map(({ name, value }) => [name, value]))

  test('are told by what has changed since the reading before', async () => {
    const models = open()
    text = metrics({ good: 1000, bad: 0, slow: 0, last: 1_800_000_001.25 })
    expect(await read(models)).toEqual({ model_queue_items: 3 })
    clock.advance(10_000)
    text = metrics({ good: 1090, bad: 10, slow: 20, last: 1_800_000_009.5 })
    expect(await read(models)).toEqual({
      model_queue_items: 3,
      model_requests_per_second: 10,
      model_error_percent: 10,
      model_p95_ms: 5,
    })
    expect(models.lastInferenceMs('vision/yolo')).toBe(1_800_000_009_500)
    expect(models.lastInferenceMs('vision/other')).toBeUndefined()
    expect(models.nodes('vision/yolo', '2')).toEqual({ CUDAExecutionProvider: 118, CPUExecutionProvider: 4 })
    expect(models.nodes('vision/yolo', '3')).toBeUndefined()
  })

  test('tell how many providers have failed while they ran, where they have any that could', async () => {
    const models = open()
    text = metrics({ good: 1, bad: 0, slow: 0, last: 1_800_000_000 })
    text += 'limpet_provider_failed_runs_total{model="yolo",version="2"} 0\n'
    expect(await read(models)).toEqual({ model_queue_items: 3, model_providers_failed: 0 })
    text += 'limpet_lane_provider_failed{model="yolo",version="2",provider="cuda"} 1\n'
    expect(await read(models)).toMatchObject({ model_providers_failed: 1 })
  })

  test('without requests have no share of errors and no p95; a data plane that starts anew is waited for', async () => {
    const models = open()
    text = metrics({ good: 1000, bad: 5, slow: 0, last: 1_800_000_000 })
    await models.read()
    clock.advance(10_000)
    expect(await read(models)).toEqual({ model_queue_items: 3, model_requests_per_second: 0 })
    text = metrics({ good: 3, bad: 0, slow: 0, last: 1_800_000_000 })
    clock.advance(10_000)
    expect(await read(models)).toEqual({ model_queue_items: 3 })
    text = undefined
    expect(await read(models)).toEqual({})
  })
})
