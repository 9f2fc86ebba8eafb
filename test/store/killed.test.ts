/** An update's way through the store, killed and cut off at each durable write: a whole version serves at every moment. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readdir, readFile, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createFolder, runToEnd } from '../kit/binary.ts'
import { killAt, killAtEach } from '../kit/crashing.ts'
import { FakeRegistry, type StagedPackage } from '../kit/package-stage.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'
import { SmallDisk } from '../kit/small-disk.ts'
import { bring, openStore } from '../kit/store-stage.ts'
import { publishTwo } from '../kit/update-steps.ts'

const folder = await createFolder()
const disk = await SmallDisk.create(join(folder.path, 'small-disk'), 48)
afterAll(async () => {
  await disk?.remove()
  await folder.remove()
})
if (disk === undefined) console.log('Skipped: power cuts and a full disk, because this user cannot mount')

const STEPS = ['bun', import.meta.resolve('../kit/update-steps.ts').replace('file://', '')]
const PATH = { PATH: process.env['PATH'] ?? '' }
const registry = new FakeRegistry()
const versions = publishTwo(registry)

async function isServed(state: string, { of, files }: StagedPackage): Promise<boolean> {
  const model = await readFile(join(state, 'models/yolo', of.version, 'model.onnx')).catch(() => undefined)
  return model?.equals(files[`${of.version}/model.onnx`] ?? new Uint8Array(0)) ?? false
}

/** Which of the two serves, byte for byte; -1 where none does. */
async function serving(state: string): Promise<number> {
  for (const [index, version] of versions.entries()) if (await isServed(state, version)) return index
  return -1
}

/** Follows the update over its kills: what serves is never nothing once there was something, and never goes back. */
function follow(state: string) {
  let least = -1
  return {
    begin: () => {
      least = -1
    },
    check: async () => {
      const now = await serving(state)
      expect(now).toBeGreaterThanOrEqual(least)
      least = now
    },
  }
}

async function finish(state: string): Promise<number> {
  const ended = await runToEnd(folder.path, {
    command: STEPS.concat(state),
    env: PATH,
  })
  expect(ended.stderr).toBe('')
  expect(ended.exitCode).toBe(0)
  return Number(ended.stdout)
}

/** One version, pointed at, whole; nothing on the way, nothing half there. */
async function expectDone(state: string): Promise<void> {
  expect(await serving(state)).toBe(1)
  const names = (path: string) => readdir(join(state, path))
  expect(await names('store/versions/vision/yolo')).toEqual([`2-${versions[1].of.manifest.slice(0, 16)}`])
  expect([await names('store/work'), await names('models')]).toEqual([[], ['yolo']])
}

/** With LIMPET_ALL_POINTS=1 each of them, which takes minutes; else each so many, beginning by the seed. */
const isThorough = process.env['LIMPET_ALL_POINTS'] === '1'

test('killed at a durable write, the next start goes on, and all ends well', async () => {
  const state = join(folder.path, 'killed')
  const followed = follow(state)
  const points = await killAtEach({
    command: [...STEPS, state],
    folder: folder.path,
    stride: isThorough ? 1 : 5,
    prepare: async () => {
      await rm(state, { recursive: true, force: true })
      await mkdir(state)
      followed.begin()
    },
    check: async ({ what }) => {
      await followed.check()
      if (what !== 'end') await finish(state)
      await followed.check()
      await expectDone(state)
    },
  })
  console.log(`Killed at ${points.length} durable writes, each time the update ended well`)
  expect(points.length).toBeGreaterThan(isThorough ? 40 : 8)
}, 600_000)

test('killed again and again, a durable write further each time, it ends well', async () => {
  const state = join(folder.path, 'again')
  await mkdir(state)
  const followed = follow(state)
  let kills = 0
  const points = await killAtEach({
    command: [...STEPS, state],
    folder: folder.path,
    check: async ({ what }) => {
      await followed.check()
      if (what !== 'end') kills += 1
    },
  })
  expect(points.length).toBe(kills)
  await finish(state)
  await expectDone(state)
}, 300_000)

describe.skipIf(disk === undefined)('on a disk of its own', () => {
  const home = disk?.path ?? ''

  test('with the power cut at a durable write, the next start goes on, and all ends well', async () => {
    const state = join(home, 'state')
    const followed = follow(state)
    const points = await killAtEach({
      command: [...STEPS, state],
      folder: folder.path,
      stride: isThorough ? 1 : 9,
      prepare: async () => {
        await rm(state, { recursive: true, force: true })
        await mkdir(state)
        Bun.spawnSync(['sync', '-f', home])
        followed.begin()
      },
      check: async ({ what }) => {
        await disk?.cutPower()
        await followed.check()
        if (what !== 'end') await finish(state)
        await disk?.cutPower()
        await followed.check()
        await expectDone(state)
      },
    })
    console.log(`Power cut at ${points.length} durable writes, each time the update ended well`)
    expect(points.length).toBeGreaterThan(isThorough ? 40 : 4)
    await rm(state, { recursive: true, force: true })
  }, 600_000)

  test('full in the middle, it says so, loses nothing, and goes on when there is room', async () => {
    const state = join(home, 'full')
    await mkdir(state)
    const store = openStore(state)
    const large = registry.publish({ version: '3', files: { '3/model.onnx': randomBytes(24_000_000, 8) } })
    await Bun.write(join(home, 'ballast'), new Uint8Array(26 * 2 ** 20))
    const bringing = bring(store, registry, large)
    await expect(bringing).rejects.toMatchObject({ code: 'storage_full' })
    await expect(bringing).rejects.toThrow(
      /^Cannot (write|sync|note) .*: the disk is full \((ENOSPC|SQLITE_FULL)\)$/,
    )
    expect(await store.versions.list()).toEqual([])
    await rm(join(home, 'ballast'))
    registry.givenBytes = 0
    await bring(store, registry, large)
    expect(registry.givenBytes).toBeLessThan(23_000_000)
    expect(await store.versions.wrongFiles(large.of)).toEqual([])
    store.database.close()
    await rm(state, { recursive: true })
  }, 60_000)

  test('read-only, it says so, and goes on when it may be written', async () => {
    const state = join(home, 'read-only')
    await mkdir(join(state, 'store'), { recursive: true })
    const store = openStore(state)
    await disk?.whileReadOnly(join(state, 'store'), async () => {
      const bringing = bring(store, registry, versions[0])
      await expect(bringing).rejects.toMatchObject({ code: 'storage_failed' })
      await expect(bringing).rejects.toThrow('EROFS')
    })
    await bring(store, registry, versions[0])
    expect(await store.versions.wrongFiles(versions[0].of)).toEqual([])
    store.database.close()
    await rm(state, { recursive: true })
  })
})

describe('with one file cut short', () => {
  /** As it is after a kill in the middle: the first version serves, a part of the second is committed. */
  async function prepareHalf(): Promise<string> {
    const state = join(folder.path, 'half')
    await mkdir(state)
    for (let kills = 0; kills < 100; kills++) {
      const parts = join(state, 'store/work', versions[1].of.manifest, 'package/2/model.onnx')
      if ((await serving(state)) === 0 && (await Bun.file(parts).exists())) return state
      await rm(state, { recursive: true })
      await mkdir(state)
      await killAt(kills + 16, { command: [...STEPS, state], folder: folder.path })
    }
    throw new Error('No kill leaves the second version half there')
  }

  test('at any byte, the next start ends well, or says that its journal is broken', async () => {
    const half = await prepareHalf()
    const entries = await readdir(half, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    let cuts = 0
    for (const path of files) {
      const name = path.slice(half.length + 1)
      const { size } = await stat(path)
      const ends = isThorough ? [0, Math.floor(size / 2)] : []
      for (const length of new Set([...ends, (SEED + cuts * 7919) % Math.max(1, size), size - 1])) {
        const state = join(folder.path, `cut-${cuts}`)
        Bun.spawnSync(['cp', '-a', half, state])
        await truncate(join(state, name), length)
        const ended = await runToEnd(folder.path, { command: [...STEPS, state], env: PATH })
        if (ended.exitCode === 0) await expectDone(state)
        else {
          expect(name).toBe('agent.sqlite')
          expect(ended.stderr).toMatch(/storage_failed|database disk image is malformed/)
          expect(await serving(state)).toBe(0)
        }
        await rm(state, { recursive: true })
        cuts += 1
      }
    }
    console.log(`Cut ${files.length} files at ${cuts} places`)
    expect(files.length).toBeGreaterThan(6)
  }, 300_000)
})
