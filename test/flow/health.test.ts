/** A board that grows too hot: its operator hears of it, and that it is over, and sees afterwards how it was. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { type Board, setUpBoard } from '../health/board.ts'
import { BINARY, cleanEnvironment, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

const SENSOR = 'sys/class/thermal/thermal_zone0/temp'

const folder = await createFolder()
let fleet: Fleet
let board: Board
let device: Device
let up: Running | undefined

/** Nothing but the temperature is to be an alert here, however full or busy this machine is. */
const settings = () => `
[registry]
heartbeat_seconds = 5
[health]
root = ${JSON.stringify(board.root)}
sample_seconds = 0.2
points_seconds = 10
[health.alerts]
temperature_celsius = { warning = 90, critical = 100 }
throttled = {}
disk_used_percent = {}
memory_used_percent = {}
`

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  board = await setUpBoard('orin-jetpack6')
  device = await fleet.enrol('cam-01')
  up = await startUp(device, settings())
})
afterAll(async () => {
  await up?.stop()
  await fleet.registry.stop()
  await board.remove()
  await folder.remove()
})

interface Alert {
  readonly name: string
  readonly subject: string
  readonly severity: string
  readonly cleared: string | null
  readonly value: number
  readonly message: string
}

async function ask<T>(path: string): Promise<T> {
  return (await (await fleet.registry.ask('GET', path)).json()) as T
}

const alerts = async (path: string) => (await ask<{ alerts: Alert[] }>(path)).alerts

async function show(args: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await runToEnd(device.home, {
    command: [BINARY, ...args],
    env: cleanEnvironment(device.home),
  })
  if (exitCode !== 0) throw new Error(stderr)
  return stdout
}

const showDevice = () =>
  show([
    'device',
    'show',
    'cam-01',
    '--registry',
    fleet.registry.url,
    '--api-key-file',
    join(fleet.registry.state, 'admin.key'),
  ])

test('what the board is like is in its report, in its heartbeats and on the screen', async () => {
  const seen = await eventually('a heartbeat tells the temperature', async () => {
    const told = await ask<{ last_heartbeat: { values?: Record<string, number> } | null }>(
      '/v1/devices/cam-01',
    )
    return told.last_heartbeat?.values?.['temperature_celsius'] === undefined ? undefined : told
  })
  expect(seen).toMatchObject({
    liveness: 'alive',
    online: true,
    last_heartbeat: {
      status: 'ok',
      alerts: 0,
      values: { temperature_celsius: 49.3, gpu_load_percent: 99.3 },
    },
  })
  const state = await eventually('the report says what the board is', async () => {
    const { state: told } = await ask<{ state: { board: object | null; hardware_class: string } }>(
      '/v1/devices/cam-01',
    )
    return told.board === null ? undefined : told
  })
  expect(state).toMatchObject({
    board: { model: 'NVIDIA Jetson Orin Nano Developer Kit', l4t: 'R36.4.3', jetpack: '6' },
    alerts: [],
    sources_skipped: [],
  })
  expect(state.hardware_class).not.toBe('')
  expect(await showDevice()).toContain('temperature_celsius 49.3')
})

test('too hot it raises an alert at the registry, and cool again it clears it', async () => {
  await board.write(SENSOR, '104000')
  const [raised] = await eventually('the registry has heard', async () => {
    const active = await alerts('/v1/alerts?active=true')
    return active.length > 0 ? active : undefined
  })
  expect(raised).toMatchObject({
    device: 'cam-01',
    name: 'temperature',
    subject: 'cpu-thermal',
    severity: 'critical',
    value: 104,
    limit: 100,
    cleared: null,
  })
  expect(await ask('/v1/devices/cam-01')).toMatchObject({ liveness: 'warning' })
  expect(await show(['status'])).toContain(
    'critical: temperature of cpu-thermal is 104 °C, the limit is 100 °C',
  )
  expect(await showDevice()).toMatch(/warning, seen[\s\S]*critical: temperature of cpu-thermal is 104 °C/)

  await board.write(SENSOR, '50000')
  await eventually('it is cleared', async () => (await alerts('/v1/alerts?active=true')).length === 0)
  const [cleared] = await alerts('/v1/devices/cam-01/alerts')
  expect(cleared?.cleared).not.toBeNull()
  expect(await ask('/v1/devices/cam-01')).toMatchObject({ liveness: 'alive' })
  expect((await glanceAt(device))?.alerts).toEqual([])
})

test('what was measured is there afterwards, also what the device had no time to send', async () => {
  // It says goodbye, and what it has measured goes out when it is back.
  await up?.stop()
  await eventually(
    'it is gone',
    async () => (await ask<{ online: boolean }>('/v1/devices/cam-01')).online === false,
  )
  up = await startUp(device, settings())
  const series = await eventually('the history is there', async () => {
    const told = await ask<{ series: { labels: { zone?: string }; points: number[][] }[] }>(
      '/v1/devices/cam-01/telemetry?names=temperature_celsius',
    )
    const found = told.series.find(({ labels }) => labels.zone === 'cpu-thermal')
    // What was put away before it was hot may have come long ago.
    return found?.points.some(([, , , max]) => max === 104) === true ? found : undefined
  })
  expect(Math.min(...series.points.map(([, min = 0]) => min))).toBe(48.906)
  expect(series.points.map(([time]) => time)).toEqual(
    series.points.map(([time = 0]) => time).toSorted((one, other) => one - other),
  )
})
