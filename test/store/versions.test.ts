/** Versions on the disk of a device: whole or not there, found again, checked, and let go. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chunkBytes } from '../../src/store/chunks/chunk-file.ts'
import { neededBytes, removable, Space } from '../../src/store/space.ts'
import type { InstalledVersion } from '../../src/store/versions.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeRegistry } from '../kit/package-stage.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { bring, damage, openStore } from '../kit/store-stage.ts'

const folder = await createFolder()
afterAll(folder.remove)

async function device() {
  const state = join(folder.path, crypto.randomUUID())
  await mkdir(state)
  return { state, registry: new FakeRegistry(), ...openStore(state) }
}

const weights = randomBytes(300_000, 1)
const filesOf = (version: string, bytes: Uint8Array = weights) => ({
  'config.toml': Buffer.from('max_batch_size = 8\n'),
  [`${version}/model.onnx`]: bytes,
  [`${version}/golden/inputs.json`]: Buffer.from('[]'),
})

describe('a version that has been brought', () => {
  test('lies in its place as it was published, with its manifest, read-only, and nothing else is left', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '3.1.0', release: 56, files: filesOf('3.1.0') })
    await bring(store, store.registry, one)
    const place = `vision/yolo/3.1.0-${one.of.manifest.slice(0, 16)}`
    const home = join(store.state, 'store/versions', place)
    expect(store.versions.folder(one.of)).toBe(home)
    for (const [path, bytes] of Object.entries(one.files)) {
      expect((await readFile(join(home, path))).equals(bytes)).toBe(true)
      expect((await stat(join(home, path))).mode & 0o777).toBe(0o444)
    }
    expect((await readFile(join(home, 'manifest.json'))).equals(one.manifest)).toBe(true)
    expect((await stat(join(home, '3.1.0'))).mode & 0o777).toBe(0o555)
    expect(await readdir(join(store.state, 'store/work'))).toEqual([])
    expect(await store.versions.wrongFiles(one.of)).toEqual([])
    expect(await store.versions.list()).toEqual([
      {
        model: 'vision/yolo',
        version: '3.1.0',
        release: 56,
        manifest: one.of.manifest,
        place,
        bytes: 300_021,
        installedMs: expect.any(Number),
      },
    ])
  })

  test('costs only what no other version has', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: filesOf('1') })
    const changed = Uint8Array.from(weights)
    changed[290_000] = 1
    const two = store.registry.publish({ version: '2', files: filesOf('2', changed) })
    await bring(store, store.registry, one)
    const before = store.registry.givenBytes
    await bring(store, store.registry, two)
    expect(store.registry.givenBytes - before).toBeLessThan(121 * 1024)
    expect(await store.versions.wrongFiles(two.of)).toEqual([])
  })

  test('is another one than that of the same name with another manifest', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: filesOf('1') })
    const other = store.registry.publish({ version: '1', release: 2, files: filesOf('1') })
    await bring(store, store.registry, one)
    expect(await store.versions.isInstalled(other.of)).toBe(false)
    await bring(store, store.registry, other)
    expect((await store.versions.list()).map(({ release }) => release).sort()).toEqual([1, 2])
  })

  test('has each rotten or lost file named', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: filesOf('1') })
    await bring(store, store.registry, one)
    const home = store.versions.folder(one.of)
    await damage(join(home, '1/model.onnx'), weights.subarray(1))
    await rm(join(home, 'config.toml'))
    expect((await store.versions.wrongFiles(one.of)).sort()).toEqual(['1/model.onnx', 'config.toml'])
    await damage(join(home, 'manifest.json'), Buffer.from('{}'))
    expect(await store.versions.wrongFiles(one.of)).toEqual(['manifest.json'])
    expect(await store.versions.list()).toEqual([])
  })

  test('takes the place of one whose manifest has rotted', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: filesOf('1') })
    await bring(store, store.registry, one)
    await damage(join(store.versions.folder(one.of), 'manifest.json'), Buffer.from('{}'))
    await bring(store, store.registry, one)
    expect(await store.versions.wrongFiles(one.of)).toEqual([])
  })

  test('is gone as a whole when it is removed, and so is what was known of its chunks', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: filesOf('1') })
    await bring(store, store.registry, one)
    const [installed] = await store.versions.list()
    expect(store.seeds.folders()).toEqual([installed?.place ?? ''])
    await store.versions.remove(installed?.place ?? '')
    expect(await store.versions.list()).toEqual([])
    expect(store.seeds.folders()).toEqual([])
    expect(await readdir(join(store.root, 'vision/yolo'))).toEqual([])
  })
})

test('what was half removed is swept, and chunks of versions that are gone are forgotten', async () => {
  const store = await device()
  const one = store.registry.publish({ version: '1', files: filesOf('1') })
  await bring(store, store.registry, one)
  await rm(store.versions.folder(one.of), { recursive: true })
  await mkdir(join(store.root, 'vision/yolo/1-0123456789abcdef.some.draft/1'), { recursive: true })
  await store.versions.sweep(new Set())
  expect(await readdir(join(store.root, 'vision/yolo'))).toEqual([])
  expect(store.seeds.folders()).toEqual([])
})

test('what is no version any more is swept, unless a pointer leads there', async () => {
  const store = await device()
  for (const version of ['1', '2']) {
    const each = store.registry.publish({ version, files: filesOf(version) })
    await bring(store, store.registry, each)
    await damage(join(store.versions.folder(each.of), 'manifest.json'), Buffer.from('{'))
  }
  const [one = '', two = ''] = await readdir(join(store.root, 'vision/yolo'))
  await store.versions.sweep(new Set([`vision/yolo/${two}`]))
  expect(await readdir(join(store.root, 'vision/yolo'))).toEqual([two])
  expect(one).not.toBe(two)
})

test('what another variant of a version has left on the way does not come along', async () => {
  const store = await device()
  const one = store.registry.publish({ version: '1', files: filesOf('1') })
  await mkdir(join(store.staging.folder(one.of), 'old'), { recursive: true })
  await writeFile(
    join(store.staging.folder(one.of), 'old/model.onnx'),
    'of a variant that this device does not want',
  )
  await bring(store, store.registry, one)
  const paths = await readdir(store.versions.folder(one.of), { recursive: true })
  expect(paths).not.toContain('old/model.onnx')
})

describe('a version whose files would lie elsewhere is refused', () => {
  test.each([
    ['../model.onnx', 'has the part ".."'],
    ['/model.onnx', 'is empty, absolute or has an empty part'],
    ['1//model.onnx', 'is empty, absolute or has an empty part'],
    ['1/./model.onnx', 'has the part "."'],
    ['1/model.onnx\0', 'has a character that no path can have'],
    ['1\\model.onnx', 'has a character that no path can have'],
    [`${'a/'.repeat(9)}b`, 'deep, at most 8'],
    [`${'a'.repeat(256)}`, 'has a part of 256 bytes, at most 255'],
    [`${`${'a'.repeat(250)}/`.repeat(5)}b`, 'a path has 1256 bytes, at most 1024'],
    ['CONFIG.TOML', 'takes the place of "config.toml"'],
    ['config.toml', 'takes the place of "config.toml"'],
    ['config.toml/x', 'is a file, and'],
    ['Config.toml/x', 'is a file, and'],
    ['manifest.json', 'takes the place of "manifest.json"'],
    ['Manifest.JSON', 'takes the place of "manifest.json"'],
    ['cafe\u0301.txt', 'takes the place of "caf\u00e9.txt"'],
    ['stra\u00dfe', 'takes the place of "STRASSE"'],
  ])('%j %s', async (path, words) => {
    const store = await device()
    const file = { path: 'config.toml', bytes: 0, sha256: '', chunk_index: '' }
    const files = ['config.toml', 'café.txt', 'STRASSE', path].map((each) => ({ ...file, path: each }))
    const opening = store.staging.open(
      { model: 'a/b', version: '1', manifest: 'm', files },
      async () => undefined,
    )
    await expect(opening).rejects.toThrow(words)
    await expect(opening).rejects.toMatchObject({ code: 'model_invalid' })
    expect(await readdir(store.state)).not.toContain('store')
  })
})

describe('room', () => {
  test.each([
    [[1_000], 0, 2_200],
    [[1_000], 500, 1_700],
    [[1_000, 10, 990], 0, 3_300],
    [[1_000], 9_000, 0],
    [[0], 0, 0],
  ])('for files of %j bytes, of which %d are there, is %d bytes', (sizes, doneBytes, bytes) => {
    const files = sizes.map((size) => ({ path: '', bytes: size, sha256: '', chunk_index: '' }))
    expect(neededBytes(files, doneBytes)).toBe(bytes)
  })

  const version = (manifest: string, installedMs: number, release = 1): InstalledVersion => ({
    model: 'vision/yolo',
    version: manifest,
    release,
    manifest,
    place: manifest,
    bytes: 100,
    installedMs,
  })

  test('is made by what is not kept, the oldest first', () => {
    const installed = [
      version('c', 3),
      version('a', 1),
      version('kept', 0),
      version('b2', 2, 9),
      version('b1', 2, 8),
    ]
    expect(removable(installed, new Set(['kept'])).map(({ manifest }) => manifest)).toEqual([
      'a',
      'b1',
      'b2',
      'c',
    ])
  })

  /** A device with three versions, whose disk has so much room that the test says. */
  async function full(freeBytes: number) {
    const store = await device()
    const versions = ['1', '2', '3'].map((name, index) =>
      store.registry.publish({
        version: name,
        release: index + 1,
        files: filesOf(name, randomBytes(1_000, index)),
      }),
    )
    for (const each of versions) await bring(store, store.registry, each)
    const installed = async () => (await store.versions.list()).map((each) => each.version)
    const bytes = (await store.versions.list())[0]?.bytes ?? 0
    const measure = async () => freeBytes + (3 - (await installed()).length) * bytes
    const space = new Space({ root: store.root, versions: store.versions, measure })
    return { space, installed, bytes, manifests: versions.map(({ of }) => of.manifest) }
  }

  test('is made by removing no more than has to go', async () => {
    const { space, installed, bytes, manifests } = await full(1_000)
    const kept = new Set([manifests[2] ?? ''])
    expect(await space.makeRoom({ bytes: 1_000, forWhat: 'x', kept })).toEqual([])
    const removed = await space.makeRoom({ bytes: 1_000 + bytes, forWhat: 'x', kept })
    expect(removed).toHaveLength(1)
    expect(await installed()).toHaveLength(2)
  })

  test('that cannot be made is refused with all the numbers, and nothing is removed', async () => {
    const { space, installed, bytes, manifests } = await full(1_000)
    const kept = new Set([manifests[0] ?? ''])
    const wanted = { bytes: 1_000 + 2 * bytes + 1, forWhat: 'vision/yolo 4', kept }
    const making = space.makeRoom(wanted)
    await expect(making).rejects.toMatchObject({ code: 'storage_full' })
    await expect(making).rejects.toThrow(
      `Cannot make room for vision/yolo 4: it needs ${wanted.bytes} bytes, 1000 are free, ${2 * bytes} more without old versions`,
    )
    expect(await installed()).toEqual(['1', '2', '3'])
  })

  test('that a version on its way already takes is known', async () => {
    const store = await device()
    const one = store.registry.publish({ version: '1', files: { '1/model.onnx': weights } })
    expect(await store.staging.usedBytes(one.of)).toBe(0)
    const [part] = await store.staging.open(one.of, store.registry.fetchObject)
    // The file has its size from the beginning, and no room before it is written to.
    expect(await store.staging.usedBytes(one.of)).toBe(0)
    const [first] = chunkBytes(weights)
    await part?.write(0, first?.bytes ?? new Uint8Array(0))
    await part?.close()
    expect(await store.staging.usedBytes(one.of)).toBeWithin(16 * 1024, 150_000)
  })

  test('of a real disk is measured', async () => {
    const store = await device()
    const space = new Space({ root: store.root, versions: store.versions })
    expect(await space.freeBytes()).toBeGreaterThan(0)
  })
})
