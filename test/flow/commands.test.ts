/** What is asked of a device from afar: registry, broker, agent, serve and the command line, all of them real. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const folder = await createFolder()
let fleet: Fleet
let device: Device
let up: Running | undefined
let settings = ''

beforeAll(async () => {
  const led = join(folder.path, 'led')
  await mkdir(led)
  await Bun.write(join(led, 'brightness'), '7')
  settings = `[commands]\nidentify_led = "${led}"\nidentify_command = ["/bin/sh", "-c", "exit 3"]\n`
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  up = await startUp(device, settings)
  await fleet.publish(scaling(1))
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '1' }])
  await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
})

afterAll(async () => {
  expect(await up?.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

const operate = (...args: readonly string[]) =>
  runToEnd(folder.path, {
    command: [
      ...[BINARY, ...args, '--registry', fleet.registry.url],
      ...['--api-key-file', join(fleet.registry.state, 'admin.key')],
    ],
  })

/** How it ended, as a script reads it. */
async function command(op: string, ...more: readonly string[]) {
  const { stdout, stderr, exitCode } = await operate('device', 'command', 'cam-01', op, ...more, '--json')
  if (stdout === '') throw new Error(stderr)
  return { ended: JSON.parse(stdout) as Record<string, unknown>, exitCode, stderr }
}

const look = async (id: unknown) =>
  (await (await fleet.registry.ask('GET', `/v1/commands/${String(id)}`)).json()) as Record<string, unknown>

test('identify: the LED blinks and is as it was, the program runs, a line says so, and it is told as an event', async () => {
  const { ended, exitCode } = await command('identify', 'seconds=1')
  expect(ended).toMatchObject({
    device: 'cam-01',
    op: 'identify',
    given: { seconds: 1 },
    state: 'done',
    result: { seconds: 1, led: join(folder.path, 'led'), command_exit_code: 3 },
  })
  expect(exitCode).toBe(0)
  expect(await Bun.file(join(folder.path, 'led/brightness')).text()).toBe('7')
  expect(await Bun.file(join(device.home, 'stderr.log')).text()).toContain('"event":"app.identify"')
  expect(await fleet.events('cam-01')).toContainEqual(
    expect.objectContaining({ kind: 'command', op: 'identify', state: 'done', rid: ended['id'] }),
  )
})

test('logs: the last lines of all three processes, in order, without the secret of the device', async () => {
  const { stdout, exitCode } = await operate('device', 'logs', 'cam-01')
  expect(exitCode).toBe(0)
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>)
  const said = (process: string) =>
    lines.filter((line) => line['process'] === process).map((line) => line['event'])
  expect(said('agent')).toContain('ota.agent_started')
  expect(said('serve')).toContain('app.serving')
  const times = lines.map((line) => line['time'] ?? '')
  expect(times).toEqual([...times].sort())
  const { secret } = (await Bun.file(join(device.state, 'enrolment.json')).json()) as { secret: string }
  expect(stdout).not.toContain(secret)
  const few = await operate('device', 'logs', 'cam-01', '--lines', '2', '--process', 'serve')
  expect(few.stdout.trim().split('\n').length).toBe(2)
})

test('rebirth: the device says anew what it is like', async () => {
  const state = async () => {
    const answer = await (await fleet.registry.ask('GET', '/v1/devices/cam-01')).json()
    return (answer as { state: { seq: number } }).state.seq
  }
  const before = await state()
  expect((await command('rebirth')).ended).toMatchObject({ state: 'done', result: null })
  expect(await state()).toBeGreaterThan(before)
})

test('restart_serve: another process serves the same, the supervisor counts no failure, and it says how long it took', async () => {
  const before = await serveProcess()
  const { ended } = await command('restart_serve')
  expect(ended).toMatchObject({ state: 'done', result: { took_ms: expect.any(Number) } })
  expect(await serveProcess()).not.toBe(before)
  expect(await askScale(up?.url ?? '')).toBe('1 times 1')
  const log = await Bun.file(join(device.home, 'stderr.log')).text()
  expect(log).toContain('"event":"app.restarted_as_asked"')
  expect(log).not.toContain('"event":"app.restarting"')
  const { stdout } = await operate('device', 'logs', 'cam-01', '--process', 'up')
  expect(stdout).toContain('app.restarted_as_asked')
})

/** Of the child of `up` that serves. */
async function serveProcess(): Promise<number> {
  const { stdout } = await runToEnd(folder.path, {
    command: ['/bin/sh', '-c', `cat /proc/${up?.pid}/task/*/children`],
  })
  for (const pid of stdout.trim().split(/\s+/)) {
    if ((await Bun.file(`/proc/${pid}/cmdline`).text()).split('\0')[1] === 'serve') return Number(pid)
  }
  throw new Error(`None of ${stdout} serves`)
}

test('diagnostics: the report of the doctor, the status and the logs in one file, brought by HTTP', async () => {
  const out = join(folder.path, 'cam-01.json.gz')
  const { ended } = await command('diagnostics', '--out', out)
  expect(ended).toMatchObject({
    state: 'done',
    result: { attachment: { at: 'upload', content_type: 'application/gzip' } },
  })
  const text = gunzipSync(await Bun.file(out).bytes()).toString()
  const report = JSON.parse(text) as Record<string, never>
  expect(report).toMatchObject({
    format: 1,
    doctor: { healthy: true },
    status: { device: 'cam-01', models: [{ model: 'vision/scale', running: { version: '1' } }] },
    models: [{ name: 'scale', version: '1', state: 'READY' }],
  })
  expect(String(report['metrics'])).toContain('nv_inference_request_success')
  expect(text).toContain('ota.agent_started')
  const { secret } = (await Bun.file(join(device.state, 'enrolment.json')).json()) as { secret: string }
  expect(text).not.toContain(secret)
})

test('what the device does not know, or what is wrong with it, is told by name', async () => {
  const unknown = await operate('device', 'command', 'cam-01', 'dance')
  expect(unknown.stderr).toContain('Cannot do "dance": expected one of identify, logs, restart_serve')
  expect(unknown.exitCode).not.toBe(0)
  const wrong = await operate('device', 'command', 'cam-01', 'logs', 'lines=0')
  expect([wrong.exitCode, wrong.stderr]).toEqual([65, expect.stringContaining('lines')])
  expect((await operate('device', 'command', 'cam-99', 'rebirth')).exitCode).not.toBe(0)
})

describe('a device that is away', () => {
  test('does what was asked meanwhile once it comes, and not what has expired', async () => {
    expect(await up?.stop()).toBe(0)
    await eventually('the registry knows', async () => {
      const answer = (await (await fleet.registry.ask('GET', '/v1/devices/cam-01')).json()) as {
        online: boolean
      }
      return !answer.online
    })
    const late = await command('rebirth', '--expires-seconds', '1')
    expect(late.ended).toMatchObject({ state: 'expired', reason: 'the device has not answered in time' })
    expect([late.exitCode, late.stderr]).toEqual([
      69,
      '"rebirth" for "cam-01" waits for the device to come\n',
    ])
    const given = (await command('rebirth', '--no-wait', '--expires-seconds', '300')).ended
    expect(given['state']).toBe('queued')
    up = await startUp(device, settings)
    await eventually('it is done', async () => (await look(given['id']))['state'] === 'done')
    expect((await look(late.ended['id']))['state']).toBe('expired')
    const told = (await fleet.events('cam-01')) as unknown as { kind?: string; rid: string }[]
    expect(told.filter(({ rid }) => rid === given['id']).length).toBe(1)
    expect(told.filter(({ rid }) => rid === late.ended['id']).length).toBe(0)
  })

  test('a registry that is killed meanwhile forgets nothing', async () => {
    expect(await up?.stop()).toBe(0)
    const given = (await command('logs', 'lines=1', '--no-wait', '--expires-seconds', '300')).ended
    await fleet.restartRegistry()
    up = await startUp(device, settings)
    await eventually('it is done', async () => (await look(given['id']))['state'] === 'done')
    expect((await look(given['id']))['result']).toMatchObject({ lines: [{ event: expect.any(String) }] })
    await eventually('the agent answers', () => glanceAt(device))
  })
})

test('every command stands in the audit, with what went with it', async () => {
  const { stdout } = await operate('audit', '--subject', 'cam-01', '--json')
  expect(JSON.parse(stdout)).toContainEqual(
    expect.objectContaining({
      path: '/v1/devices/cam-01/commands',
      detail: { op: 'identify', expires_seconds: 60, seconds: 1 },
      outcome: 'done',
    }),
  )
})
