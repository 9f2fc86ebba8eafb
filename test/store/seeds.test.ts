/** Installed files as the source of chunks: only what is hashed again is used. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createFolder } from '../kit/binary.ts'
import { FakeRegistry } from '../kit/package-stage.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { bring, damage, openStore } from '../kit/store-stage.ts'

const folder = await createFolder()
afterAll(folder.remove)

/** A device with version 1 on it, and version 2 published: the same weights, another config. */
async function stage() {
  const state = join(folder.path, crypto.randomUUID())
  await mkdir(state)
  const store = openStore(state)
  const registry = new FakeRegistry()
  const weights = randomBytes(500_000, 9)
  const publish = (version: string) =>
    registry.publish({ version, files: { [`${version}/model.onnx`]: weights } })
  const [one, two] = [publish('1'), publish('2')]
  await bring(store, registry, one)
  registry.givenBytes = 0
  const installed = join(store.versions.folder(one.of), '1/model.onnx')
  const fill = async () => {
    const [part] = await store.staging.open(two.of, registry.fetchObject)
    if (part === undefined) throw new Error('There is one file')
    const seeded = await store.seeds.fill(part)
    const missing = part.missing()
    await part.close()
    return { seeded, missing, count: part.index.count }
  }
  return { store, registry, weights, one, two, installed, fill }
}

describe('what an installed version has', () => {
  test('is not fetched again', async () => {
    const { store, registry, two } = await stage()
    await bring(store, registry, two)
    expect(registry.givenBytes).toBe(0)
    expect(await store.versions.wrongFiles(two.of)).toEqual([])
  })

  test('and has rotted is found out, named, forgotten and fetched', async () => {
    const { store, registry, weights, installed, two, fill } = await stage()
    const rotten = Uint8Array.from(weights)
    rotten[250_000] = (rotten[250_000] ?? 0) ^ 1
    await damage(installed, rotten)
    const first = await fill()
    expect(first.missing).toHaveLength(1)
    expect(first.seeded.rotten).toEqual([installed.slice(store.root.length + 1)])
    expect(first.seeded.bytes).toBeLessThan(500_000)
    // Forgotten: the second look finds nothing rotten any more, and lacks the same.
    const second = await fill()
    expect([second.seeded.rotten, second.missing]).toEqual([[], first.missing])
    await bring(store, registry, two)
    expect(await store.versions.wrongFiles(two.of)).toEqual([])
    expect(registry.givenBytes).toBeWithin(1, 120 * 1024 + 1)
  })

  test('and is cut short or gone is fetched', async () => {
    const { store, registry, weights, installed, two, fill } = await stage()
    await damage(installed, weights.subarray(0, 400_000))
    expect((await fill()).missing.length).toBeGreaterThan(0)
    await rm(installed)
    await bring(store, registry, two)
    expect((await readFile(join(store.versions.folder(two.of), '2/model.onnx'))).equals(weights)).toBe(true)
  })

  test('and is removed in the middle of another update costs fetching, and nothing else', async () => {
    const { store, registry, two, fill } = await stage()
    const [version] = await store.versions.list()
    const filled = await fill()
    expect(filled.missing).toEqual([])
    await store.versions.remove(version?.place ?? '')
    await bring(store, registry, two)
    expect(registry.givenBytes).toBe(0)
    expect(await store.versions.wrongFiles(two.of)).toEqual([])
  })

  test('is still known after a version with the same chunks is removed', async () => {
    const { store, registry, weights, one, two } = await stage()
    await bring(store, registry, two)
    const place = (await store.versions.list()).find(({ manifest }) => manifest === one.of.manifest)?.place
    await store.versions.remove(place ?? '')
    const three = registry.publish({ version: '3', files: { '3/model.onnx': weights } })
    await bring(store, registry, three)
    expect(registry.givenBytes).toBe(0)
  })
})
