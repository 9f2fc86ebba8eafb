/** A site without a network: a bundle is brought to a device that cannot reach its registry. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, Fleet, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const folder = await createFolder()
let fleet: Fleet
let device: Device
let stranger: Device
let up: Running

const at = (where: Device, ...args: string[]) => runToEnd(where.home, { command: [BINARY, ...args] })

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  await fleet.publish(scaling(1))
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '1' }])
  const access = ['--registry', fleet.registry.url, '--api-key-file', join(fleet.registry.state, 'admin.key')]
  const root = ['--root', join(fleet.registry.state, 'development-keys/root.json')]
  const bundle = join(folder.path, 'site.bundle')
  const wrote = await at(
    device,
    'bundle',
    'export',
    bundle,
    '--model',
    'vision/scale@1',
    '--device',
    'cam-01',
    ...access,
    ...root,
  )
  expect([wrote.exitCode, wrote.stderr]).toEqual([0, ''])
  expect(await fleet.registry.stop()).toBe(0)

  const other = await Fleet.start(join(folder.path, 'other'))
  stranger = await other.enrol('cam-02')
  expect(await other.registry.stop()).toBe(0)
  up = await startUp(device)
})
afterAll(async () => {
  expect(await up.stop()).toBe(0)
  await folder.remove()
})

test('a bundle that was cut off, or is of another fleet, is refused and not kept', async () => {
  const whole = await readFile(join(folder.path, 'site.bundle'))
  await writeFile(join(folder.path, 'torn.bundle'), whole.subarray(0, whole.length - 100))
  const torn = await at(device, 'bundle', 'import', join(folder.path, 'torn.bundle'))
  expect(torn).toMatchObject({ exitCode: 65, stdout: '' })
  expect(torn.stderr).toContain('cut off')
  const other = await at(stranger, 'bundle', 'import', join(folder.path, 'site.bundle'))
  expect(other).toMatchObject({ exitCode: 1, stdout: '' })
  expect(other.stderr).toContain('was signed by 0/1 keys')
  for (const each of [device, stranger])
    expect(await Bun.file(join(each.state, 'site.bundle')).exists()).toBe(false)
})

test('the device takes what the bundle assigns to it, and serves it', async () => {
  await copyFile(join(folder.path, 'site.bundle'), join(device.home, 'brought'))
  const taken = await at(device, 'bundle', 'import', 'brought')
  expect([taken.exitCode, taken.stderr]).toEqual([0, ''])
  expect(taken.stdout).toContain('vision/scale 1, release 1')
  expect(taken.stdout).toContain('with an assignment for this device')
  expect(taken.stdout).toContain('the agent looks at it now')
  await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
  expect(await askScale(up.url)).toBe('1 times 1')
})
