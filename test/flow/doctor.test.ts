/** The doctor at a device of a fleet: what it says while all is well, and of each thing that is not. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { chmod, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'
import { scaling } from './versions.ts'

setDefaultTimeout(120_000)

const folder = await createFolder()
let fleet: Fleet
let device: Device
let up: Running | undefined

/** In settings, in the log by way of a model's name that is refused, and in the enrolment. */
const PLANTED = ['Pl4nted-in-config', 'Pl4nted-in-header', 'Pl4nted-in-log']
const SETTINGS = `
# mqtt_url = "mqtts://cam-01:${PLANTED[0]}@broker.example:8883"
[http]
restricted = [{ apis = ["trace"], header = "x-limpet-key", value = "${PLANTED[1]}" }]
`

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  up = await startUp(device, SETTINGS)
  await fleet.publish(scaling(1))
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '1' }])
  await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
})

afterAll(async () => {
  await up?.stop()
  await fleet?.registry.stop()
  await folder.remove()
})

interface Check {
  readonly id: string
  readonly status: string
  readonly text: string
  readonly fix: string
  readonly facts: Record<string, unknown>
}

async function examine(...args: string[]) {
  const config = join(device.home, 'config.toml')
  // A busy machine is no reason to find something wrong.
  const command = [BINARY, 'doctor', '--json', '--seconds', '60', '--config', config, ...args]
  const { stdout, stderr, exitCode } = await runToEnd(device.home, { command })
  if (stdout === '') throw new Error(stderr)
  const { checks, healthy } = JSON.parse(stdout) as { checks: readonly Check[]; healthy: boolean }
  expect(exitCode).toBe(healthy ? 0 : 1)
  return { checks, of: (id: string) => checks.find((check) => check.id === id) }
}

/** Of every file, when it was written last. The agent's own go on. */
async function listState(): Promise<string[]> {
  const names = await readdir(device.state, { recursive: true })
  return names.filter((name) => !/\.sqlite|\.log$|\.sock$|\.draft$/.test(name)).sort()
}

test('all is well: each part says so, by asking what runs', async () => {
  const before = await listState()
  const { of } = await examine()
  expect(of('models.serves')).toMatchObject({
    status: 'ok',
    text: expect.stringMatching(/^scale 1 serves: on CPUExecutionProvider \(\d+ nodes?\), [\d.]+ MB, /),
    facts: {
      model: 'scale',
      version: '1',
      state: 'READY',
      providers: ['CPUExecutionProvider'],
      refused: [],
      errors: 0,
    },
  })
  expect(of('registry.health')).toMatchObject({ status: 'ok', facts: { url: fleet.registry.url } })
  expect(of('registry.known')).toMatchObject({ status: 'ok', text: 'it knows "cam-01"' })
  expect(of('registry.metadata')?.status).toBe('ok')
  expect(of('clock.offset')?.facts).toEqual({ offset_seconds: expect.any(Number) })
  expect(of('broker.link')).toMatchObject({ status: 'ok', text: expect.stringContaining('is up') })
  expect(of('trust.expires')?.status).toBe('ok')
  expect(of('agent.runs')).toMatchObject({ status: 'ok', facts: { device: 'cam-01', link: 'up', models: 1 } })
  expect(of('agent.model')?.text).toBe('vision/scale serves 1, as assigned')
  expect(of('network.reached')?.facts).toMatchObject({ host: '127.0.0.1', addresses: ['127.0.0.1'] })
  expect(await listState()).toEqual(before)
})

test('a bundle has the report, the settings and the logs, and none of the secrets', async () => {
  const { secret } = JSON.parse(await readFile(join(device.state, 'enrolment.json'), 'utf8')) as {
    secret: string
  }
  const line = {
    time: '2026-01-01T00:00:00.000Z',
    event: 'test.planted',
    text: `password=${PLANTED[2]} and ${secret}`,
  }
  await Bun.write(join(device.state, 'logs/serve.1.log'), `${JSON.stringify(line)}\n`)
  const bundle = join(device.home, 'support.tar.gz')
  const command = [BINARY, 'doctor', '--config', join(device.home, 'config.toml'), '--bundle', bundle]
  const { stdout } = await runToEnd(device.home, { command })
  expect(stdout).toMatch(/\d+ files, \d+ bytes in .*support\.tar\.gz/)
  expect((await stat(bundle)).mode & 0o777).toBe(0o600)
  const out = join(folder.path, 'unpacked')
  await mkdir(out)
  expect((await runToEnd(out, { command: ['tar', '-xzf', bundle] })).exitCode).toBe(0)
  const names = (await readdir(out, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  )
  const files = new Map<string, string>()
  for (const { parentPath, name } of names) files.set(name, await readFile(join(parentPath, name), 'utf8'))
  const all = [
    'doctor.txt',
    'doctor.json',
    'config.toml',
    'status.json',
    'models.json',
    'metrics.txt',
    'agent.0.log',
    'serve.0.log',
    'serve.1.log',
  ]
  expect([...files.keys()]).toEqual(expect.arrayContaining(all))
  expect(JSON.parse(files.get('doctor.json') ?? '')).toMatchObject({ format: 2, healthy: true })
  expect(JSON.parse(files.get('status.json') ?? '')).toMatchObject({ device: 'cam-01' })
  expect(files.get('serve.1.log')).toContain('test.planted')
  expect(files.get('config.toml')).toContain('broker.example:8883')
  const text = [...files.values()].join('\n')
  for (const planted of [...PLANTED, secret, Buffer.from(`cam-01:${secret}`).toString('base64')]) {
    expect(text.includes(planted)).toBe(false)
  }
})

test('a secret that others may read, and a device that the registry does not know any more', async () => {
  const path = join(device.state, 'enrolment.json')
  const text = await readFile(path, 'utf8')
  const { secret } = JSON.parse(text) as { secret: string }
  await Bun.write(path, text.replace(secret, `${secret.slice(0, -4)}0000`))
  await chmod(path, 0o644)
  const { of } = await examine()
  expect(of('certificates.mode')).toMatchObject({
    status: 'warning',
    fix: `chmod 600 "${path}"`,
    facts: { mode: '644' },
  })
  expect(of('registry.unknown')).toMatchObject({ status: 'fault', facts: { status: 401 } })
  await Bun.write(path, text)
  await chmod(path, 0o600)
})

test('at the registry its keys, its database and what it has signed are looked at', async () => {
  const { of, checks } = await examine('--state', fleet.registry.state)
  expect(of('central.keys')?.text).toMatch(/^\d+ keys that only their owner can read$/)
  expect(of('central.development')?.status).toBe('warning')
  expect(of('central.database')?.status).toBe('ok')
  const roles = checks.filter(({ id }) => id.startsWith('central.')).map(({ facts }) => facts['role'])
  expect(roles).toEqual(expect.arrayContaining(['root', 'targets', 'snapshot', 'timestamp', 'vision']))
})

test('a registry that is gone is a warning: the device serves on', async () => {
  const { url } = fleet.registry
  await fleet.registry.stop('SIGKILL')
  await eventually('the agent has noticed', async () => (await glanceAt(device))?.link === 'down')
  const { of, checks } = await examine()
  expect(of('registry.silent')).toMatchObject({ status: 'warning', facts: { url } })
  expect(checks.filter(({ id }) => id === 'network.connection').map(({ facts }) => facts['name'])).toEqual([
    'registry',
    'broker',
  ])
  expect(of('broker.link')).toMatchObject({ status: 'warning', text: expect.stringContaining('is down') })
  expect(of('models.serves')?.status).toBe('ok')
  expect(checks.filter(({ status }) => status === 'fault')).toEqual([])
  const offline = await examine('--offline')
  expect(offline.of('registry.offline')?.status).toBe('note')
  expect(offline.checks.filter(({ id }) => id.startsWith('network.')).map(({ id }) => id)).toEqual([
    'network.interfaces',
  ])
})

test('where no agent runs, what it has left behind is read, and the broker is asked as the device', async () => {
  expect(await up?.stop()).toBe(0)
  const before = await listState()
  const { of } = await examine()
  expect(of('agent.stopped')?.status).toBe('warning')
  expect(of('agent.left')).toMatchObject({
    status: 'note',
    text: expect.stringMatching(/^it was at assignment [1-9]/),
  })
  expect(of('broker.refused')?.status).toBe('warning')
  expect(of('models.not_served')?.status).toBe('note')
  expect(await listState()).toEqual(before)
  await fleet.restartRegistry()
  // Somebody listens there, and says nothing of use: the device's name is left alone.
  const strange = Bun.serve({
    unix: join(device.state, 'agent.sock'),
    fetch: () => Response.json({ odd: true }),
  })
  const { of: silent } = await examine()
  await strange.stop(true)
  expect(silent('agent.silent')?.status).toBe('warning')
  expect(silent('broker.unknown')?.status).toBe('note')
  await rm(join(device.state, 'agent.sock'), { force: true })
  expect((await examine()).of('broker.connected')).toMatchObject({
    status: 'ok',
    text: expect.stringContaining('MQTT 3.1.1'),
  })
})
