/** Disks that forget, cut short, fill up or refuse, and clocks that are wrong: a verified version serves, the update ends. */

import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { lstat, readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { present } from '../../src/kit/assert.ts'
import { createFolder } from '../kit/binary.ts'
import { SEED } from '../kit/seed.ts'
import { SmallDisk } from '../kit/small-disk.ts'
import { Bench, untilCrashed } from './bench.ts'
import { type Device, eventually, glanceAt } from './fleet.ts'
import {
  checkAnswers,
  checkEvents,
  checkFinalAnswer,
  copyState,
  forget,
  Matrix,
  SCENARIOS,
} from './kill-matrix.ts'

// Many processes are started, and a busy machine takes its time.
setDefaultTimeout(300_000)

const folder = await createFolder()
const disk = await SmallDisk.create(join(folder.path, 'small-disk'), 160)
if (disk === undefined) console.log('Skipped: what needs a disk of its own, because this user cannot mount')
const FAKE_TIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'
const canFakeTime = existsSync(FAKE_TIME)
if (!canFakeTime) console.log('Skipped: wrong clocks, for want of libfaketime')

const SECOND = present(
  SCENARIOS.find(({ name }) => name === 'second'),
  'there is such an update',
)
const isThorough = process.env['LIMPET_ALL_POINTS'] === '1'

let matrix: Matrix
beforeAll(async () => {
  matrix = await Matrix.start(join(folder.path, 'fleet'))
})
afterAll(async () => {
  await matrix.stop()
  await disk?.remove()
  await folder.remove()
})

/** Started again, it serves what is right from the first answer on, and the update ends. */
async function expectMended(device: Device, env: Record<string, string> = {}): Promise<void> {
  const bench = new Bench(device)
  await bench.startUp(env)
  try {
    checkAnswers(SECOND, [await bench.ask()])
    expect(await matrix.untilEnded(device, '2')).toBe('committed')
    checkFinalAnswer(SECOND, await bench.ask())
  } catch (error) {
    throw new Error(`${error}\n${await bench.log()}`, { cause: error })
  } finally {
    await bench.stop()
  }
}

async function updateOf(device: Device) {
  return (await glanceAt(device))?.models[0]?.update
}

/** The update cut off at that durable write, the whole device with it. */
async function cutOffAt(number: number, device: Device): Promise<void> {
  const bench = new Bench(device)
  await bench.startServe()
  bench.startAgent({ LIMPET_CRASH_AT: String(number) })
  await untilCrashed(bench, async () => await matrix.endOf(device, '2'))
  await bench.kill()
}

describe.skipIf(disk === undefined)('on a disk of its own', () => {
  const under = disk?.path ?? ''

  function fill(name: string): void {
    for (const size of ['1M', '4k', '1k']) {
      const to = [`of=${join(under, name)}`, 'oflag=append', 'conv=notrunc']
      Bun.spawnSync(['dd', 'if=/dev/zero', `bs=${size}`, ...to], { stderr: 'ignore' })
    }
  }

  /** A device that is in the middle of its way to that version, and slow. */
  async function startDownload(version: string): Promise<{ device: Device; bench: Bench }> {
    const device = await matrix.createDevice(SECOND, { version, under })
    Bun.spawnSync(['sync', '-f', under])
    const bench = new Bench(device)
    await bench.startUp({}, '[registry]\nbytes_per_second_max = 300_000\n')
    await eventually('half of it is here', async () => {
      const update = await updateOf(device)
      return update?.state === 'download' && (update.percent ?? 0) > 55
    })
    return { device, bench }
  }

  test('whose power is cut at a durable write', async () => {
    const points = isThorough
      ? Array.from({ length: 100 }, (_, index) => index + 1)
      : [0, 30, 60].map((at) => 1 + at + (SEED % 30))
    for (const number of points) {
      const device = await matrix.createDevice(SECOND, { version: '2', under })
      Bun.spawnSync(['sync', '-f', under])
      await cutOffAt(number, device)
      await disk?.cutPower()
      await expectMended(device)
      await disk?.cutPower()
      const bench = new Bench(device)
      await bench.startServe()
      expect(await bench.ask()).toBe('2 times 2')
      await bench.stop()
      await forget(device)
    }
    console.log(`Power cut at ${points.length} durable writes: ${points}`)
  })

  test('that is full: it goes on serving, and takes the new version once there is room', async () => {
    const device = await matrix.createDevice(SECOND, { version: '2', under })
    const ballast = join(under, 'ballast')
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${ballast}`, 'bs=64k'], { stderr: 'ignore' })
    const bench = new Bench(device)
    await bench.startUp()
    await eventually('the agent has met the full disk', async () => /full|ENOSPC/.test(await bench.log()))
    expect(await bench.ask()).toBe('1 times 1')
    await Bun.file(ballast).delete()
    expect(await matrix.untilEnded(device, '2')).toBe('committed')
    expect(await bench.ask()).toBe('2 times 2')
    await bench.stop()
    await forget(device)
  })

  test('that fills up in the middle of a download: the update waits, and goes on once there is room', async () => {
    const { device, bench } = await startDownload('2')
    fill('ballast')
    await eventually('it says what it waits for', async () => {
      const update = await updateOf(device)
      return update?.state === 'download' && update.waits_for.includes('the disk is full')
    })
    expect(await bench.ask()).toBe('1 times 1')
    await Bun.file(join(under, 'ballast')).delete()
    expect(await matrix.untilEnded(device, '2')).toBe('committed')
    expect(await bench.ask()).toBe('2 times 2')
    await checkEvents(matrix.fleet, device, '2')
    await bench.stop()
    await forget(device)
  })

  test('that fills up under its journal: the agent ends and says why, and does what is assigned once there is room', async () => {
    const { device, bench } = await startDownload('3')
    fill('ballast')
    // What has been written before is no room to write to; an agent that is just reading keeps it from being given back.
    const journal = join(device.state, 'agent.sqlite')
    await eventually('its journal has no room left', async () => {
      const database = new Database(journal)
      database.run('PRAGMA wal_checkpoint(TRUNCATE)')
      database.close()
      fill('more-ballast')
      return (await stat(`${journal}-wal`)).size === 0
    })
    await matrix.assign(device.name, '2')
    await eventually('the agent has ended for it', async () =>
      /"reason":"[^"]*disk is full[^"]*","event":"ota.agent_broken"/.test(await bench.log()),
    )
    expect(await bench.ask()).toBe('1 times 1')
    for (const name of ['ballast', 'more-ballast']) await Bun.file(join(under, name)).delete()
    expect(await matrix.untilEnded(device, '2')).toBe('committed')
    expect(await bench.ask()).toBe('2 times 2')
    await bench.stop()
    await forget(device)
  })

  test('that cannot be written any more in the middle of a download: it goes on serving, and goes on after a restart', async () => {
    const { device, bench } = await startDownload('2')
    disk?.failWrites()
    await eventually('it says why it does not go on', async () =>
      /EROFS|read-only|readonly/i.test(`${JSON.stringify(await updateOf(device))}${await bench.log()}`),
    )
    expect(await bench.ask()).toBe('1 times 1')
    await bench.kill()
    await disk?.cutPower()
    await expectMended(device)
    await forget(device)
  })

  test('that cannot be written: it goes on serving, and takes the new version once it can', async () => {
    const device = await matrix.createDevice(SECOND, { version: '2', under })
    const bench = new Bench(device)
    await disk?.whileReadOnly(device.state, async () => {
      await bench.startServe({ socket: join(device.home, 'serve.sock') })
      bench.startAgent()
      await eventually('the agent has given up', () => Promise.resolve(bench.hasAgentEnded))
      expect(await bench.log()).toMatch(/EROFS|readonly|read-only|unable to open database/)
      expect(await bench.ask()).toBe('1 times 1')
      await bench.kill()
    })
    await expectMended(device)
    await forget(device)
  })
})

test('with one file cut short anywhere', async () => {
  const half = await matrix.createDevice(SECOND, { version: '2' })
  await cutOffAt(20, half)
  const entries = await readdir(half.state, { recursive: true })
  const paths = entries.filter((path) => !/^unpacked|^models\/|\.sock$/.test(path)).sort()
  let cuts = 0
  for (const [index, path] of paths.entries()) {
    const { size, isRegular } = await lstat(join(half.state, path)).then((found) => ({
      size: found.size,
      isRegular: found.isFile(),
    }))
    if (!isRegular || size === 0 || !isChosen(path, index)) continue
    const device = await matrix.createDevice(SECOND, { version: '2' })
    const enrolment = await Bun.file(join(device.state, 'enrolment.json')).text()
    Bun.spawnSync(['rm', '-rf', device.state])
    copyState(half.state, device.state)
    await Bun.write(join(device.state, 'enrolment.json'), enrolment)
    const length = (SEED + cuts * 7919) % size
    await truncate(join(device.state, path), length)
    await checkMendedWithout(path, device)
    await forget(device)
    cuts += 1
    console.log(`${path} cut to ${length} of ${size} bytes: mended`)
  }
  expect(cuts).toBeGreaterThan(2)
})

/** The agent's own memory always; of the rest some, others for each seed. */
function isChosen(path: string, index: number): boolean {
  return isThorough || path.startsWith('agent.sqlite') || index % 4 === SEED % 4
}

/** What is lost is lost; what is left of it serves, or is brought anew. */
async function checkMendedWithout(path: string, device: Device): Promise<void> {
  const bench = new Bench(device)
  await bench.startUp()
  try {
    const isServing = !path.startsWith('store/versions')
    if (isServing) expect([path, await bench.ask()]).toEqual([path, '1 times 1'])
    // Who it is cannot be known any more: it goes on serving until it is enrolled again.
    if (path === 'enrolment.json') return
    expect([path, await matrix.untilEnded(device, '2')]).toEqual([path, 'committed'])
    expect(await bench.ask()).toBe('2 times 2')
  } finally {
    await bench.stop()
  }
}

describe.skipIf(!canFakeTime)('with a clock that stands at', () => {
  test.each(['1970-01-02 00:00:00', '2099-01-01 00:00:00'])('%s', async (time) => {
    const device = await matrix.createDevice(SECOND, { version: '2' })
    await expectMended(device, {
      LD_PRELOAD: FAKE_TIME,
      FAKETIME: `@${time}`,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    })
    await forget(device)
  })
})
