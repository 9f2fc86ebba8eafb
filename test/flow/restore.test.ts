/** A registry restored from yesterday's backup, and the device that has gone on since. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { startRegistry } from '../kit/registry.ts'
import { publisherKey, signFamily } from '../registry/publish.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(240_000)

const MODEL = 'vision/scale'
const folder = await createFolder()
let fleet: Fleet
let device: Device
let up: Running
let file: string

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  up = await startUp(device)
  file = join(folder.path, 'yesterday.backup')
  await fleet.publish(scaling(1))
  await fleet.publish(scaling(2))
  await fleet.assign('cam-01', [{ model: MODEL, version: '1' }])
  await fleet.ended(device, MODEL, { version: '1', state: 'committed' })
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

const limpet = (...args: readonly string[]) =>
  runToEnd(folder.path, { command: [BINARY, 'registry', ...args, '--state', fleet.registry.state] })

async function timestamp(): Promise<number> {
  const { signed } = (await (await fleet.registry.ask('GET', '/tuf/timestamp.json')).json()) as {
    signed: { version: number }
  }
  return signed.version
}

/** The family's metadata at that version, with the versions that there were at the backup. */
async function sign(version: number): Promise<void> {
  const key = await publisherKey(join(fleet.registry.state, 'development-keys'), 'vision')
  const { targets, floors } = fleet.listed('vision')
  const signed = signFamily({ version, targets, floors, nowMs: Date.now() }, key)
  const answer = await fleet.registry.ask('POST', '/v1/metadata/vision', signed)
  expect([answer.status, await answer.text()]).toEqual([201, expect.any(String)])
}

test('a running registry is backed up, and is not restored over', async () => {
  const made = await limpet('backup', file)
  expect([made.exitCode, made.stderr]).toEqual([0, ''])
  expect(made.stdout).toContain('Not in it: packs')
  const refused = await limpet('restore', file)
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringContaining('--replace puts them aside'),
  ])
  const running = await limpet('restore', file, '--replace')
  expect([running.exitCode, running.stderr]).toEqual([1, expect.stringContaining('another process runs it')])
})

test('what devices have seen since is not lost: nothing older is installed, and the registry goes on above it', async () => {
  const backedUp = fleet.listed('vision').version
  await sign(backedUp + 1)
  await sign(backedUp + 2)
  await fleet.assign('cam-01', [{ model: MODEL, version: '2' }])
  await fleet.ended(device, MODEL, { version: '2', state: 'committed' })
  const before = await glanceAt(device)
  expect(before).toMatchObject({ rev: 2, metadata_seen: { timestamp: await timestamp() } })

  const { url, mqttUrl } = fleet.registry
  await fleet.registry.stop()
  const restored = await limpet('restore', file, '--replace')
  expect([restored.exitCode, restored.stderr]).toEqual([0, ''])
  expect(restored.stdout).not.toContain('missing')
  const [aside] = (await readdir(dirname(fleet.registry.state))).filter((name) => name.includes('.before-'))
  expect(restored.stdout).toContain(`${aside}, but for the packs`)
  const ports = { port: Number(new URL(url).port), mqttPort: Number(new URL(mqttUrl).port) }
  fleet.registry = await startRegistry(join(folder.path, 'central'), ports)

  // It knows rev 1, and metadata that the device has seen newer: it is told so, and signs above it.
  await eventually('the registry goes on above what the device has seen', async () => {
    return (await timestamp()) > (before?.metadata_seen.timestamp ?? 0)
  })
  // What the publisher has signed since is the publisher's to sign again; until then the device says so, and serves on.
  await eventually('the device says that metadata was rolled back', async () =>
    (await fleet.events('cam-01')).some(({ code }) => code === 'metadata_rolled_back'),
  )
  expect(await askScale(up.url)).toBe('2 times 2')
  await fleet.sign('vision')
  await fleet.sign('vision')

  // Yesterday's word comes under a rev above the one that was lost, and gives no leave to go back.
  const refused = await eventually('the older release is refused', async () =>
    (await fleet.events('cam-01')).find(({ code }) => code === 'downgrade_not_allowed'),
  )
  expect(refused).toMatchObject({ version: '1', to: 'rejected' })
  expect((await glanceAt(device))?.rev).toBeGreaterThan(2)
  expect(await askScale(up.url)).toBe('2 times 2')

  // What is said from now on counts as ever.
  await fleet.publish({ ...scaling(3) })
  await fleet.assign('cam-01', [{ model: MODEL, version: '3' }])
  await fleet.ended(device, MODEL, { version: '3', state: 'committed' })
  expect(await askScale(up.url)).toBe('3 times 3')
})
