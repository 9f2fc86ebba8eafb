/** Versions that are not fit: refused or taken back, told with the reason, never served again; others do not notice. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import { createFolder, type Running } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import type { Version } from '../registry/publish.ts'
import { type Device, eventually, Fleet, POLICY, startUp, statusOf } from './fleet.ts'
import { answering, askScale, counting, scaling } from './versions.ts'

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
  await fleet.publish(scaling(1))
  await fleet.publish(counting(1, { onnx: zoo.slow(), steps: 1 }))
  await fleet.publish(scaling(1, { model: 'audio/steady' }))
  await assign({ scale: '1', count: '1' })
  for (const model of ['vision/scale', 'vision/count', 'audio/steady'])
    await fleet.ended(device, model, { version: '1', state: 'committed' })
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

async function assign(versions: { scale: string; count: string }, policy: object = {}): Promise<void> {
  const models = [
    { model: 'vision/scale', version: versions.scale, policy: { ...POLICY, ...policy } },
    { model: 'vision/count', version: versions.count, policy: { ...POLICY, ...policy } },
    { model: 'audio/steady', version: '1' },
  ]
  await fleet.assign('cam-01', models)
}

/** Asks another model all the while; its answers, each once. */
function askSteadily(): () => Promise<string[]> {
  const answers = new Set<string>()
  let isDone = false
  const asking = (async () => {
    while (!isDone) answers.add(await askScale(up.url, 'steady'))
  })()
  return async () => {
    isDone = true
    await asking
    return [...answers]
  }
}

async function expectRefused(published: Version, code: string, reason: string | RegExp): Promise<void> {
  const { manifest } = await fleet.publish(published)
  const finish = askSteadily()
  const isScale = published.model === 'vision/scale'
  await assign({ scale: isScale ? published.version : '1', count: isScale ? '1' : published.version })
  const status = await fleet.ended(device, published.model, { version: published.version, state: 'rejected' })
  const model = status.models.find((each) => each.model === published.model)
  expect(model).toMatchObject({ running: { version: '1' }, update: { code } })
  expect(model?.update?.reason).toMatch(reason)
  expect(status.quarantine).toContainEqual(expect.objectContaining({ sha256: manifest, code }))
  expect(await askScale(up.url)).toBe('1 times 1')
  expect(await finish()).toEqual(['1 times 1'])
  const told = (await fleet.events('cam-01')).at(-1)
  expect(told).toMatchObject({ model: published.model, version: published.version, to: 'rejected', code })
}

describe('refused before it serves', () => {
  test('not ONNX', async () => {
    const files = { '2/model.onnx': new TextEncoder().encode('not a model'.repeat(100)) }
    await expectRefused(scaling(2, { files }), 'load_failed', /protobuf/i)
  })

  test('loads, but answers its golden samples wrong', async () => {
    await expectRefused(
      answering(3, zoo.scaled(3), [3, 4]),
      'golden_failed',
      'golden sample 0: output "OUTPUT0" holds 3 at 1, expected 4 within',
    )
  })

  test('answers NaN', async () => {
    await expectRefused(
      answering(4, zoo.scaled(Number.NaN), [4, 4]),
      'not_finite',
      'holds NaN at 0, expected 4',
    )
  })

  test('a hundred times slower than the one that runs', async () => {
    await expectRefused(
      counting(5, { onnx: zoo.slow(), steps: 100 }),
      'slower',
      /expected at most 400 % of it$/,
    )
  })

  test('eats more memory than it says that it needs', async () => {
    const hungry = counting(6, { onnx: zoo.hungry(), steps: 400 * 2 ** 20 })
    await expectRefused({ ...hungry, memoryMb: 64 }, 'memory_exceeded', /bytes of memory, at most 603979776$/)
  })

  test('crashes the process that proves it', async () => {
    await Promise.all([
      expectRefused(counting(7, { onnx: zoo.slow(), steps: 100_000_000 }), 'probe_crashed', /signal SIGSEGV/),
      processOf('probe').then((pid) => process.kill(pid, 'SIGSEGV')),
    ])
  })
})

test('crashes only once it serves: taken back, and the device is whole again', async () => {
  const { manifest } = await fleet.publish(scaling(8))
  await assign({ scale: '8', count: '1' }, { observe_seconds: 600 })
  await eventually('it is observed', async () => (await scaleStatus())?.update?.state === 'observe')
  expect(await askScale(up.url)).toBe('8 times 8')
  process.kill(await processOf('serve'), 'SIGSEGV')
  const status = await fleet.ended(device, 'vision/scale', { version: '8', state: 'reverted' })
  expect(status.models.find(({ model }) => model === 'vision/scale')).toMatchObject({
    running: { version: '1' },
    update: { code: 'crashed', reason: 'serve ended 1 times since the switch, at most 0' },
  })
  expect(status.quarantine).toContainEqual(expect.objectContaining({ sha256: manifest, code: 'crashed' }))
  expect(await askScale(up.url)).toBe('1 times 1')
  expect(await askScale(up.url, 'steady')).toBe('1 times 1')
})

test('what is quarantined stays so under a newer assignment, until a person says otherwise', async () => {
  await assign({ scale: '8', count: '1' }, { observe_seconds: 1 })
  await eventually('it is refused again', async () => (await scaleStatus())?.update?.code === 'quarantined')
  expect(await askScale(up.url)).toBe('1 times 1')
  await fleet.run(device, ['retry', 'vision/scale'])
  await fleet.ended(device, 'vision/scale', { version: '8', state: 'committed' })
  expect(await askScale(up.url)).toBe('8 times 8')
})

async function scaleStatus() {
  return (await statusOf(device))?.models.find(({ model }) => model === 'vision/scale')
}

/** Once there is one: the one of this device that was started with that command. */
function processOf(command: 'probe' | 'serve'): Promise<number> {
  return eventually(`there is a process ${command}`, async () => {
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (line.split('\0')[1] === command && line.includes(device.state)) return Number(pid)
    }
    return undefined
  })
}
