/** What monitoring asks of a registry: where the devices are, and how the fleet is. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage

beforeAll(async () => {
  stage = await stageRegistry()
})
afterAll(() => stage.remove())

let states = 0
function report(device: string, state: object, online = true): void {
  states += 1
  stage.registry.devices.keepState(device, { sid: 'a', seq: states, online, body: state })
}

async function ask(path: string, role: 'viewer' | 'publisher' = 'viewer'): Promise<Response> {
  return await stage.app.request(path, { headers: stage.as(role) })
}

const runs = (model: string, version: string, update: string | null = null) => ({
  model,
  running: { version, release: Number(version), sha256: version.padStart(64, '0') },
  update: update === null ? null : { rev: 1, version, state: update, code: '', reason: '' },
})

test('Prometheus is told of every device that says where it is, in its format, those that are away too', async () => {
  for (const id of ['cam-01', 'cam-02', 'cam-03']) stage.asDevice(id)
  report('cam-01', {
    advertise_url: 'http://10.0.0.7:8000/limpet/',
    hardware: { names: ['x64', 'x86-generic'] },
  })
  report('cam-02', { advertise_url: 'https://cam-02.example', hardware: { names: ['arm64'] } })
  report('cam-02', {}, false)
  report('cam-03', { advertise_url: null })
  stage.registry.devices.tag('cam-01', { site: 'berlin', 'rack-row': '7' })
  const answer = await ask('/v1/discovery/prometheus')
  expect(answer.headers.get('content-type')).toBe('application/json')
  expect(await answer.json()).toEqual([
    {
      targets: ['10.0.0.7:8000'],
      labels: {
        device: 'cam-01',
        __scheme__: 'http',
        __metrics_path__: '/limpet/metrics',
        __meta_limpet_hardware: ',x64,x86-generic,',
        __meta_limpet_liveness: 'alive',
        __meta_limpet_tag_site: 'berlin',
        __meta_limpet_tag_rack_row: '7',
      },
    },
    {
      targets: ['cam-02.example:443'],
      labels: {
        device: 'cam-02',
        __scheme__: 'https',
        __metrics_path__: '/metrics',
        __meta_limpet_hardware: ',arm64,',
        __meta_limpet_liveness: 'offline',
      },
    },
  ])
})

test.each([
  'not an address',
  'ftp://10.0.0.7:21',
  'http://who:secret@10.0.0.7:8000',
  'http://10.0.0.7:8000/?to=elsewhere',
  `http://10.0.0.7/${'0'.repeat(500)}`,
  17,
  { url: 'http://10.0.0.7:8000' },
])('a device that says it is at %j is left out', async (advertised) => {
  stage.asDevice('cam-odd')
  report('cam-odd', { advertise_url: advertised, hardware: { names: 'x64' } })
  const groups = (await (await ask('/v1/discovery/prometheus')).json()) as { labels: { device: string } }[]
  expect(groups.map(({ labels }) => labels.device)).toEqual(['cam-01', 'cam-02'])
})

test('the metrics are those of the whole fleet: who is there, what runs, how updates stand, what came in', async () => {
  report('cam-01', { models: [runs('vision/yolo', '1', 'committed'), runs('audio/vad', '4')] })
  report('cam-02', { models: [runs('vision/yolo', '1', 'committed')] })
  report('cam-03', { models: [runs('vision/yolo', '2', 'observe'), { model: 'vision/new', running: null }] })
  report('cam-03', {}, false)
  const alert = {
    kind: 'alert',
    name: 'temperature',
    state: 'raised',
    since: 1,
    time: 1,
    value: 99,
    limit: 90,
  }
  const alerts = [
    { device: 'cam-01', sid: 'e', seq: 1, body: { ...alert, severity: 'critical', message: 'hot' } },
    { device: 'cam-02', sid: 'e', seq: 1, body: { ...alert, severity: 'critical', message: 'hot' } },
    {
      device: 'cam-02',
      sid: 'e',
      seq: 2,
      body: { ...alert, name: 'disk', severity: 'warning', message: 'full' },
    },
    {
      ...{ device: 'cam-01', sid: 'e', seq: 2 },
      body: { ...alert, subject: 'cpu', state: 'cleared', severity: 'critical', message: 'cool' },
    },
  ]
  stage.registry.devices.keepEvents(alerts)
  const answer = await ask('/metrics')
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const lines = (await answer.text()).split('\n')
  expect(lines.filter((line) => line.startsWith('limpet_fleet_'))).toEqual([
    'limpet_fleet_devices{liveness="alive"} 3',
    'limpet_fleet_devices{liveness="offline"} 1',
    'limpet_fleet_running{model="vision/yolo",version="1"} 2',
    'limpet_fleet_running{model="audio/vad",version="4"} 1',
    'limpet_fleet_running{model="vision/yolo",version="2"} 1',
    'limpet_fleet_updates{state="committed"} 2',
    'limpet_fleet_updates{state="observe"} 1',
    'limpet_fleet_alerts{name="temperature",severity="critical"} 2',
    'limpet_fleet_alerts{name="disk",severity="warning"} 1',
    ...['draft', 'approved', 'running', 'soak', 'paused', 'done', 'aborting', 'aborted', 'reverting'].map(
      (state) => `limpet_fleet_rollouts{state="${state}"} 0`,
    ),
    'limpet_fleet_rollouts{state="reverted"} 0',
  ])
  expect(lines).toContain('process_cpu_seconds_total 1.5')
  expect(lines).toContain(
    'limpet_registry_http_request_seconds_count{route="GET /v1/discovery/prometheus"} 8',
  )
})

test('a device that gives no sign of life any more is offline, though nobody has said that it is gone', async () => {
  const presence = async () =>
    (await (await ask('/metrics')).text())
      .split('\n')
      .filter((line) => line.startsWith('limpet_fleet_devices'))
  expect(await presence()).toEqual([
    'limpet_fleet_devices{liveness="alive"} 3',
    'limpet_fleet_devices{liveness="offline"} 1',
  ])
  stage.clock.advance(91_000)
  stage.registry.devices.markSeen(['cam-01'])
  expect(await presence()).toEqual([
    'limpet_fleet_devices{liveness="alive"} 1',
    'limpet_fleet_devices{liveness="offline"} 3',
  ])
  stage.registry.devices.markSeen(['cam-02', 'cam-odd'])
})

test('rollouts are counted by their state, and the devices of those that are under way by how they stand', async () => {
  const plan = (id: string) => JSON.stringify({ model: 'vision/yolo', id })
  const add = stage.database.prepare(
    `INSERT INTO rollout (id, model, version, plan, state, since, created, created_by, word) VALUES (?, 'vision/yolo', '2', ?, ?, 0, 0, 'me', ?)`,
  )
  const member = stage.database.prepare(
    'INSERT INTO rollout_device (rollout, device, wave, bucket, state) VALUES (?, ?, 0, 0, ?)',
  )
  for (const [at, state] of ['done', ...Array.from({ length: 30 }, () => 'running')].entries()) {
    add.run(`r-${at}`, plan(`r-${at}`), state, at)
    member.run(`r-${at}`, 'cam-01', 'committed')
    member.run(`r-${at}`, 'cam-02', 'vanished')
  }
  member.run('r-30', 'cam-03', 'vanished')
  const lines = (await (await ask('/metrics')).text()).split('\n')
  expect(lines).toContain('limpet_fleet_rollouts{state="running"} 30')
  expect(lines).toContain('limpet_fleet_rollouts{state="done"} 1')
  const members = lines.filter((line) => line.startsWith('limpet_fleet_rollout_devices'))
  expect(members).toHaveLength(40)
  expect(members.slice(-2)).toEqual([
    'limpet_fleet_rollout_devices{rollout="r-30",model="vision/yolo",state="committed"} 1',
    'limpet_fleet_rollout_devices{rollout="r-30",model="vision/yolo",state="vanished"} 2',
  ])
  stage.database.exec('DELETE FROM rollout_device; DELETE FROM rollout')
})

test('devices that complain of more things than a family may have labels are told as the most and the rest', async () => {
  const alert = { kind: 'alert', state: 'raised', since: 1, time: 1, value: 1, limit: 1, message: '' }
  const events = Array.from({ length: 120 }, (_, at) => ({
    ...{ device: 'cam-01', sid: 'f', seq: at },
    body: { ...alert, name: `thing-${at}`, severity: 'warning' },
  }))
  stage.registry.devices.keepEvents(events)
  const lines = (await (await ask('/metrics')).text()).split('\n')
  const alerts = lines.filter((line) => line.startsWith('limpet_fleet_alerts'))
  expect(alerts).toHaveLength(101)
  expect(alerts.at(-1)).toBe('limpet_fleet_alerts{name="other",severity="warning"} 22')
  stage.database.exec('DELETE FROM alert')
})

test('a fleet that runs more versions than a family may have labels is told as the most used and the rest', async () => {
  stage.asDevice('cam-many')
  report('cam-many', { models: Array.from({ length: 250 }, (_, at) => runs(`demo/m${at}`, '1')) })
  const lines = (await (await ask('/metrics')).text()).split('\n')
  const running = lines.filter((line) => line.startsWith('limpet_fleet_running'))
  expect(running).toHaveLength(201)
  expect(running.at(-1)).toBe('limpet_fleet_running{model="other",version="other"} 53')
})

test.each([
  { models: 'none' },
  { models: ['none', 7, null] },
  { models: { model: 'vision/yolo' } },
  { models: [{ running: { version: '1' } }, { model: null }] },
])('a report with %j for models is kept, and counts for none', async (state) => {
  stage.asDevice('cam-many')
  report('cam-many', state)
  expect(stage.registry.devices.get('cam-many').state).toEqual(state)
  expect(stage.registry.census.byVersion().reduce((sum, { count }) => sum + count, 0)).toBe(4)
})

test('heartbeats that never came are seen by the gap they leave; a device that has started anew leaves none', () => {
  const { traffic } = stage.registry
  for (const seq of [1, 2, 5, 6]) traffic.noteHeartbeat('cam-01', { sid: 'a', seq })
  expect(traffic.heartbeatsMissed).toBe(2)
  for (const seq of [1, 2]) traffic.noteHeartbeat('cam-01', { sid: 'a', seq })
  traffic.noteHeartbeat('cam-01', { sid: 'b', seq: 40 })
  traffic.noteHeartbeat('cam-02', { sid: 'a', seq: 9 })
  expect(traffic.heartbeatsMissed).toBe(2)
})

test('neither is for who has no key', async () => {
  for (const path of ['/metrics', '/v1/discovery/prometheus']) {
    expect((await stage.app.request(path)).status).toBe(401)
    expect((await stage.app.request(path, { headers: stage.asDevice('cam-01') })).status).toBe(403)
    expect((await ask(path, 'publisher')).status).toBe(200)
  }
  const lines = (await (await ask('/metrics')).text()).split('\n')
  expect(lines).toContain('limpet_registry_http_errors_total{code="unauthorized"} 2')
  expect(lines).toContain('limpet_registry_http_errors_total{code="forbidden"} 2')
})
