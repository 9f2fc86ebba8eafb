/** Versions of several models that share chunks come and go, at once: each that is there is whole, whatever goes. */
import { afterAll, expect, test } from 'bun:test'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { createFolder } from '../kit/binary.ts'
import { FakeRegistry, type StagedPackage } from '../kit/package-stage.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'
import { bring, damage, openStore } from '../kit/store-stage.ts'

const folder = await createFolder()
afterAll(folder.remove)

/** Nine versions of three models, put together from four pieces that many of them have. */
function publishAll(registry: FakeRegistry): StagedPackage[] {
  const pieces = [1, 2, 3, 4].map((seed) => randomBytes(130_000, seed))
  return Array.from({ length: 9 }, (_, index) => {
    const own = randomBytes(40_000, 100 + index)
    const shared = pieces.filter((_piece, piece) => (index + piece) % 3 !== 0)
    const files = {
      [`${index}/model.onnx`]: Buffer.concat([...shared, own]),
      'labels.txt': Buffer.from('a\nb\n'),
    }
    return registry.publish({
      model: `family/model-${index % 3}`,
      version: `${index}`,
      release: index + 1,
      files,
    })
  })
}

const version = fc.nat(8)
const deed = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant('bring' as const),
      versions: fc.uniqueArray(version, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('remove' as const), versions: fc.tuple(version) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('rot' as const), versions: fc.tuple(version) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('bring and remove at once' as const),
      versions: fc.uniqueArray(version, { minLength: 2, maxLength: 4 }),
    }),
  },
)

test('any order of bringing, removing and rotting leaves whole what is there and was not touched', async () => {
  const registry = new FakeRegistry()
  const packages = publishAll(registry)
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { minLength: 3, maxLength: 12 }), async (deeds) => {
      const state = join(folder.path, crypto.randomUUID())
      await mkdir(state)
      const store = openStore(state)
      const there = new Set<number>()
      const rotten = new Set<number>()
      const of = (index: number) => packages[index] as StagedPackage
      const bringOne = async (index: number) => {
        await bring(store, registry, of(index))
        there.add(index)
      }
      const removeOne = async (index: number) => {
        if (!there.delete(index)) return
        rotten.delete(index)
        const place = (await store.versions.list()).find(
          ({ manifest }) => manifest === of(index).of.manifest,
        )?.place
        await store.versions.remove(place ?? '')
      }
      for (const { does, versions } of deeds) {
        const [first = 0, ...others] = versions
        if (does === 'bring') await Promise.all(versions.map(bringOne))
        else if (does === 'remove') await removeOne(first)
        else if (does === 'bring and remove at once')
          await Promise.all([removeOne(first), ...others.map(bringOne)])
        else if (there.has(first)) {
          rotten.add(first)
          await damage(
            join(store.versions.folder(of(first).of), `${first}/model.onnx`),
            randomBytes(400_000, 9),
          )
        }
      }
      for (const [index] of packages.entries()) {
        expect(await store.versions.isInstalled(of(index).of)).toBe(there.has(index))
        if (!there.has(index)) continue
        expect(await store.versions.wrongFiles(of(index).of)).toEqual(
          rotten.has(index) ? [`${index}/model.onnx`] : [],
        )
      }
      expect(await readdir(join(state, 'store/work')).catch(() => [])).toEqual([])
      store.database.close()
    }),
    { seed: SEED, numRuns: 15 },
  )
}, 120_000)
