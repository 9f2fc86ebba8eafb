/** A version on its way from a publisher to a device that serves it: registry, broker, device, all of them real. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, readLog, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, POLICY, startUp, statusOf } from './fleet.ts'
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
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

const GOOD_WAY =
  'assigned resolve plan download verify stage probe wait activate observe commit committed'.split(' ')

test('the first version of a model: pushed, assigned, served, told step by step', async () => {
  await fleet.publish(scaling(1))
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '1' }])
  await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
  expect(await askScale(up.url)).toBe('1 times 1')
  const told = await eventually('all events are there', async () => {
    const events = await fleet.events('cam-01')
    return events.at(-1)?.to === 'committed' ? events : undefined
  })
  expect(told.map(({ from, to }) => `${from} ${to}`)).toEqual(
    GOOD_WAY.slice(1).map((to, index) => `${GOOD_WAY[index]} ${to}`),
  )
  expect(new Set(told.map(({ model, version, rev }) => `${model} ${version} ${rev}`))).toEqual(
    new Set(['vision/scale 1 1']),
  )
})

test('the second, under load: it takes over, and no request fails', async () => {
  await fleet.publish(scaling(2))
  const answers = new Map<string, number>()
  let isDone = false
  const client = async () => {
    while (!isDone) {
      const answer = await askScale(up.url)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  const clients = Array.from({ length: 4 }, client)
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '2' }])
  await fleet.ended(device, 'vision/scale', { version: '2', state: 'committed' })
  isDone = true
  await Promise.all(clients)
  expect([...answers.keys()].sort()).toEqual(['1 times 1', '2 times 2'])
})

test('the pointer is a link that leads to a version with its signed manifest, and the one before is still there', async () => {
  const target = await readlink(join(device.state, 'models/scale'))
  expect(target).toMatch(/^\.\.\/store\/versions\/vision\/scale\/2-[0-9a-f]{16}$/)
  const manifest = (await Bun.file(join(device.state, 'models', target, 'manifest.json')).json()) as object
  expect(manifest).toMatchObject({ model: 'vision/scale', version: '2', release: 2 })
  const status = await statusOf(device)
  expect(status?.models[0]).toMatchObject({
    model: 'vision/scale',
    running: { version: '2', release: 2 },
    previous: { version: '1' },
    good: { version: '2' },
    assigned: { version: '2' },
    update: { state: 'committed', code: '', reason: '' },
  })
  expect(status).toMatchObject({ device: 'cam-01', link: 'up', rev: 2, quarantine: [] })
  expect(status?.trust).toMatchObject({ root: 1, time_source: 'clock' })
})

test('status reads well for a person', async () => {
  const { stdout, exitCode } = await runToEnd(device.home, { command: [BINARY, 'status'] })
  expect(exitCode).toBe(0)
  expect(stdout).toContain('device "cam-01" of http://127.0.0.1')
  expect(stdout).toMatch(/vision\/scale: serves 2 \([0-9a-f]{12}\), assigned 2/)
  expect(stdout).toContain('observe → commit')
})

describe('when', () => {
  test('a person has to approve: it waits for that, says so, and goes on', async () => {
    await fleet.publish(scaling(3))
    const policy = { ...POLICY, approval: 'operator' }
    await fleet.assign('cam-01', [{ model: 'vision/scale', version: '3', policy }])
    await eventually('it waits', async () => {
      const update = (await statusOf(device))?.models[0]?.update
      return update?.state === 'wait' && update.waits_for === 'approval (limpet approve vision/scale)'
    })
    expect(await askScale(up.url)).toBe('2 times 2')
    const { exitCode } = await runToEnd(device.home, { command: [BINARY, 'approve', 'vision/scale'] })
    expect(exitCode).toBe(0)
    await fleet.ended(device, 'vision/scale', { version: '3', state: 'committed' })
    expect(await askScale(up.url)).toBe('3 times 3')
  })

  test('the inhibit file is there: nothing is switched until it has gone', async () => {
    await fleet.publish(scaling(4))
    await Bun.write(join(device.state, 'inhibit'), '')
    await fleet.assign('cam-01', [{ model: 'vision/scale', version: '4' }])
    await eventually('it waits', async () => {
      const update = (await statusOf(device))?.models[0]?.update
      return update?.state === 'wait' && update.waits_for.endsWith('inhibit" is there')
    })
    await Bun.file(join(device.state, 'inhibit')).delete()
    await fleet.ended(device, 'vision/scale', { version: '4', state: 'committed' })
  })

  test('a newer version is assigned while one waits: the newer one comes at once', async () => {
    await fleet.publish(scaling(5))
    await fleet.publish(scaling(6))
    const schedule = { not_before: '2099-01-01T00:00:00Z' }
    await fleet.assign('cam-01', [{ model: 'vision/scale', version: '5', schedule }])
    await eventually('it waits', async () => {
      const update = (await statusOf(device))?.models[0]?.update
      return update?.state === 'wait' && update.waits_for === 'not before 2099-01-01T00:00:00.000Z'
    })
    await fleet.assign('cam-01', [{ model: 'vision/scale', version: '6' }])
    await fleet.ended(device, 'vision/scale', { version: '6', state: 'committed' })
    expect(await askScale(up.url)).toBe('6 times 6')
    const superseded = (await fleet.events('cam-01')).filter(({ code }) => code === 'superseded')
    expect(superseded).toMatchObject([{ version: '5', from: 'wait', to: 'rejected' }])
  })
})

const NOTHING = /^(404|503): /
/** The states of one update, and the other model's withdrawal somewhere among or after them. */
const END_OF_BOTH = 12

test('a model that is not assigned any more serves no more, and says so; assigned again, it does', async () => {
  await fleet.publish(scaling(7, { model: 'vision/other' }))
  await fleet.assign('cam-01', [{ model: 'vision/other', version: '7' }])
  await fleet.ended(device, 'vision/other', { version: '7', state: 'committed' })
  await eventually('it is gone', async () => NOTHING.test(await askScale(up.url)))
  const told = await eventually('it is told', async () =>
    (await fleet.events('cam-01')).find(({ to }) => to === 'withdrawn'),
  )
  expect(told).toMatchObject({ model: 'vision/scale', version: '6', code: 'unassigned' })
  await fleet.assign('cam-01', [{ model: 'vision/scale', version: '6' }])
  await eventually('it is back', async () => (await askScale(up.url)) === '6 times 6')
  await eventually('the other one is gone', async () => NOTHING.test(await askScale(up.url, 'other')))
  await fleet.ended(device, 'vision/scale', { version: '6', state: 'committed' })
  await eventually('all of it is told', async () => {
    const ends = (await fleet.events('cam-01')).slice(-END_OF_BOTH).map(({ model, to }) => `${model} ${to}`)
    return ends.includes('vision/other withdrawn') && ends.includes('vision/scale committed')
  })
})

test('restarted, the device serves what it served, and asks for nothing', async () => {
  const before = (await fleet.events('cam-01')).length
  expect(await up.stop()).toBe(0)
  up = await startUp(device)
  expect(await askScale(up.url)).toBe('6 times 6')
  await eventually('the line is up', async () => (await statusOf(device))?.link === 'up')
  expect((await fleet.events('cam-01')).length).toBe(before)
})

test('who has no enrolment is told how to get one', async () => {
  const { stderr, exitCode } = await runToEnd(folder.path, { command: [BINARY, 'status'] })
  expect(stderr).toContain('holds no enrolment; run "limpet enrol --registry URL --token TOKEN"')
  expect(exitCode).toBe(69)
})

test('a token is worth one device, and one that is enrolled stays what it is', async () => {
  const { stderr, exitCode } = await runToEnd(device.home, {
    command: [BINARY, 'enrol', '--registry', fleet.registry.url, '--token', 'le_x_y'],
  })
  expect(stderr).toContain('this is "cam-01" at http://127.0.0.1')
  expect(exitCode).not.toBe(0)
  const other = await runToEnd(device.home, {
    command: [BINARY, 'enrol', '--registry', fleet.registry.url, '--token', 'le_x_y', '--again'],
  })
  expect(other.stderr).toContain('the token is unknown, used or expired')
  expect(other.exitCode).toBe(65)
})

test('nothing of the platform warns on the standard error of a device', async () => {
  const log = await readLog(device.home)
  expect(log).toContain('"ota.transition"')
  expect(log).not.toContain('Warning')
})
