/** A device whose disk is not what it was, started again: it serves, says what was wrong, and mends what can be mended. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { chmod, readlink, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createFolder, type Running, readLog } from '../kit/binary.ts'
import { type Device, eventually, Fleet, startUp, statusOf } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const folder = await createFolder()
let fleet: Fleet
let device: Device
let up: Running

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  up = await startUp(device)
  for (const release of [1, 2]) {
    const version = String(release)
    await fleet.publish(scaling(release))
    await fleet.assign('cam-01', [{ model: 'vision/scale', version }])
    await fleet.ended(device, 'vision/scale', { version, state: 'committed' })
  }
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
  await fleet.registry.stop()
  await folder.remove()
})

/** The file behind the pointer. */
async function modelFile(): Promise<string> {
  const models = join(device.state, 'models')
  return join(models, await readlink(join(models, 'scale')), '2/model.onnx')
}

/** How often that was told. */
async function countFallen(): Promise<number> {
  const events = await fleet.events('cam-01')
  return events.filter(({ code }) => code === 'pointer_broken').length
}

test.each([
  [
    'a byte was changed',
    async (path: string) => {
      const bytes = await Bun.file(path).bytes()
      bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 0xff
      await Bun.write(path, bytes)
    },
  ],
  ['the end is missing', (path: string) => truncate(path, 10)],
  ['everything is missing', (path: string) => truncate(path, 0)],
])('%s in the version that serves: the one before serves, then the right one again', async (_, damage) => {
  const path = await modelFile()
  const before = await countFallen()
  expect(await up.stop()).toBe(0)
  await chmod(path, 0o644)
  await damage(path)
  up = await startUp(device)
  await eventually('it has fallen back', async () => (await countFallen()) === before + 1)
  // What is assigned is brought again, and proven again.
  await eventually('it serves what is assigned', async () => (await askScale(up.url)) === '2 times 2')
  await fleet.ended(device, 'vision/scale', { version: '2', state: 'committed' })
  expect(await Bun.file(await modelFile()).bytes()).toEqual(
    scaling(2).files['2/model.onnx'] as Uint8Array<ArrayBuffer>,
  )
  const status = await statusOf(device)
  expect(status?.quarantine).toEqual([])
})

test('an agent that cannot start is no reason not to serve', async () => {
  expect(await up.stop()).toBe(0)
  const enrolment = join(device.state, 'enrolment.json')
  const good = await Bun.file(enrolment).bytes()
  await truncate(enrolment, 20)
  up = await startUp(device)
  await eventually('the agent has failed', async () =>
    (await readLog(device.home)).includes('"process":"agent"'),
  )
  expect(await askScale(up.url)).toBe('2 times 2')
  await Bun.write(enrolment, good)
  await eventually('the agent is back', async () => (await statusOf(device))?.link === 'up')
})
