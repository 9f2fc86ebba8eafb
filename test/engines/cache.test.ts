/** What is kept on the disk: whole and as it was written, or not at all. */
import { afterAll, describe, expect, test } from 'bun:test'
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EngineCache, type EngineCacheOptions } from '../../src/engines/cache.ts'
import { type EngineFacts, engineKey } from '../../src/engines/key.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { createFolder } from '../kit/binary.ts'
import { killAtEach } from '../kit/crashing.ts'
import { engineFacts } from '../kit/engine-facts.ts'
import { FakeClock } from '../kit/fake-clock.ts'

setLogLevel('silent')
const folder = await createFolder()
afterAll(() => folder.remove())

let count = 0
async function open(changes: Partial<EngineCacheOptions> = {}) {
  count += 1
  const options: EngineCacheOptions = {
    folder: join(folder.path, `cache-${count}`),
    bytesMax: 100_000,
    isKeeper: true,
    clock: new FakeClock(),
    freeBytes: async () => 2 ** 40,
    ...changes,
  }
  return { cache: await EngineCache.open(options), ...options }
}

const factsOf = (letter: string) => engineFacts({ model: letter.repeat(64) })
const manifestOf = (facts: EngineFacts) => ({
  facts,
  libraries: {},
  madeFor: 'm/1',
  unfit: '',
  signature: '',
})

async function keep(cache: EngineCache, facts: EngineFacts, content = 'model'): Promise<string> {
  const key = engineKey(facts)
  const draft = await cache.draft(key, content.length)
  if (draft === undefined) throw new Error('No draft')
  await writeFile(join(draft, 'model.onnx'), content)
  await cache.keep(draft, manifestOf(facts))
  return key
}

async function readBack(cache: EngineCache, key: string): Promise<string | undefined> {
  const entry = await cache.find(key)
  const [file] = entry?.manifest.files ?? []
  if (entry === undefined || file === undefined) return undefined
  const bytes = await cache.read(entry, file)
  return bytes && new TextDecoder().decode(bytes)
}

describe('an entry', () => {
  test('gives what was put in, to whoever opens the folder next as well', async () => {
    const { cache, ...options } = await open()
    const key = await keep(cache, factsOf('a'))
    const other = await EngineCache.open({ ...options, isKeeper: false })
    expect([await readBack(cache, key), await readBack(other, key)]).toEqual(['model', 'model'])
    expect(cache.counts).toMatchObject({ kept: 1, invalid: 0 })
  })

  test('is copied as a whole for a runtime that writes into it, and stays as it is', async () => {
    const { cache } = await open()
    const key = await keep(cache, factsOf('a'))
    const entry = await cache.find(key)
    const copy = entry && (await cache.copy(entry))
    await writeFile(join(copy ?? '', 'model.onnx'), 'changed')
    expect(await readBack(cache, key)).toBe('model')
  })

  const spoil: readonly [string, (path: string) => Promise<unknown>][] = [
    ['a bit of its file is turned', (path) => flipBit(join(path, 'model.onnx'))],
    ['its file is cut short', (path) => writeFile(join(path, 'model.onnx'), 'mode')],
    ['its file is longer', (path) => writeFile(join(path, 'model.onnx'), 'models')],
    ['a bit of its manifest is turned', (path) => flipBit(join(path, 'manifest.json'))],
    ['its manifest is gone', (path) => Bun.file(join(path, 'manifest.json')).delete()],
    ['its file is gone', (path) => Bun.file(join(path, 'model.onnx')).delete()],
    ['others may write its file', (path) => chmod(join(path, 'model.onnx'), 0o666)],
    ['others may write its folder', (path) => chmod(path, 0o777)],
  ]
  test.each(spoil)('is gone, counted, and can be made again when %s', async (_, change) => {
    const { cache, folder: home } = await open()
    const key = await keep(cache, factsOf('a'))
    await change(join(home, key))
    expect(await readBack(cache, key)).toBeUndefined()
    expect(cache.counts.invalid).toBe(1)
    expect(await readdir(home)).toEqual([])
    await keep(cache, factsOf('a'), 'again')
    expect(await readBack(cache, key)).toBe('again')
  })

  test('under the name of another one is not taken', async () => {
    const { cache, folder: home } = await open()
    const [one, other] = [await keep(cache, factsOf('a')), engineKey(factsOf('b'))]
    await mkdir(join(home, other), { mode: 0o700 })
    for (const name of await readdir(join(home, one)))
      await writeFile(join(home, other, name), await readFile(join(home, one, name)), { mode: 0o600 })
    expect([await readBack(cache, one), await readBack(cache, other)]).toEqual(['model', undefined])
  })

  test('that is a link is not followed', async () => {
    const { cache, folder: home } = await open()
    const elsewhere = await open()
    const key = await keep(elsewhere.cache, factsOf('a'))
    await symlink(join(elsewhere.folder, key), join(home, key))
    expect(await readBack(cache, key)).toBeUndefined()
    expect(await readBack(elsewhere.cache, key)).toBe('model')
  })

  test('of two that were made at once the first one stays, and nothing is left behind', async () => {
    const { cache, folder: home } = await open()
    const keys = await Promise.all([keep(cache, factsOf('a')), keep(cache, factsOf('a'))])
    expect(new Set(keys).size).toBe(1)
    expect(await readdir(home)).toEqual(keys.slice(1))
    expect(cache.counts.failed).toBe(0)
  })
})

async function flipBit(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  await writeFile(path, bytes)
}

describe('room', () => {
  test('is made by what was not used for the longest time, and never by what is held', async () => {
    const clock = new FakeClock()
    const { cache } = await open({ clock, bytesMax: 6000 })
    const keys: string[] = []
    for (const letter of ['a', 'b', 'c']) {
      clock.advance(10_000)
      keys.push(await keep(cache, factsOf(letter), letter.repeat(1500)))
    }
    // As it is kept, so it is found: the time of an entry is that of its last use, in the order of the clock.
    for (const key of keys) {
      clock.advance(10_000)
      await cache.find(key)
    }
    const letGo = cache.hold(keys[0] ?? '')
    clock.advance(10_000)
    keys.push(await keep(cache, factsOf('d'), 'd'.repeat(1500)))
    const there = async () => (await cache.list()).map(({ key }) => keys.indexOf(key)).sort()
    expect(await there()).toEqual([0, 2, 3])
    letGo()
    expect(cache.counts.evicted).toBe(1)
  })

  test('is not made by a guest: what does not fit is not kept, and that is counted', async () => {
    const { cache, ...options } = await open({ bytesMax: 4000 })
    const key = await keep(cache, factsOf('a'), 'a'.repeat(2000))
    const guest = await EngineCache.open({ ...options, isKeeper: false })
    await keep(guest, factsOf('b'), 'b'.repeat(2000))
    expect(guest.counts).toMatchObject({ kept: 0, failed: 1, evicted: 0 })
    expect((await guest.list()).map((one) => one.key)).toEqual([key])
  })

  test('that a disk has not is not asked for', async () => {
    const { cache } = await open({ freeBytes: async () => 256 * 1024 ** 2 + 9 })
    expect(await cache.draft('a'.repeat(64), 10)).toBeUndefined()
    expect(cache.counts.failed).toBe(1)
    expect(await cache.draft('a'.repeat(64), 9)).toBeDefined()
  })
})

describe("a folder that is not this user's alone", () => {
  test('is not used, and says why', async () => {
    const home = join(folder.path, 'shared')
    await mkdir(home)
    await chmod(home, 0o777)
    const { cache } = await open({ folder: home })
    expect(cache.problem).toContain('others may write')
    expect(await cache.draft('a'.repeat(64), 1)).toBeUndefined()
    expect(await cache.find('a'.repeat(64))).toBeUndefined()
  })

  test('nor is one that cannot be made', async () => {
    await writeFile(join(folder.path, 'file'), '')
    const { cache } = await open({ folder: join(folder.path, 'file', 'engines') })
    expect(cache.problem).toContain('ENOTDIR')
  })
})

test('what a process that is no more was making is swept, what another one is making stays', async () => {
  const { cache, ...options } = await open()
  const mine = await cache.draft('a'.repeat(64), 1)
  const other = join(options.folder, `.${'b'.repeat(64)}.1.x.draft`)
  const dead = join(options.folder, `.${'c'.repeat(64)}.${2 ** 22 + 1}.x.draft`)
  await Promise.all([mkdir(other), mkdir(dead)])
  expect(mine).toBeDefined()
  await EngineCache.open(options)
  expect(await readdir(options.folder)).toEqual([`.${'b'.repeat(64)}.1.x.draft`])
})

test('killed at each durable write, an entry is whole or not there', async () => {
  const home = join(folder.path, 'killed')
  const script = import.meta.resolve('../kit/engine-steps.ts').replace('file://', '')
  let last = ''
  const points = await killAtEach({
    command: ['bun', script, home],
    folder: folder.path,
    check: async () => {
      const { cache } = await open({ folder: home })
      for (const letter of ['a', 'b']) {
        const key = engineKey(factsOf(letter))
        const found = await readBack(cache, key)
        expect([undefined, letter.repeat(70_000)]).toContain(found)
        last = found ?? last
      }
      expect(cache.counts.invalid).toBe(0)
      const left = (await readdir(home)).filter((name) => name.startsWith('.'))
      expect(left).toEqual([])
      await Bun.$`rm -rf ${home}`
    },
  })
  expect(points.length).toBeGreaterThan(3)
  expect(last).not.toBe('')
})
