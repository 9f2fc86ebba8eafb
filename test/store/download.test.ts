/** Chunks from whoever gives them, some of whom lie. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/kit/clock.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { AnySource } from '../../src/link/any-source.ts'
import { type ChunkSource, download } from '../../src/store/download.ts'
import { closeAll } from '../../src/store/staging.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeRegistry } from '../kit/package-stage.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { openStore } from '../kit/store-stage.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

const WRONG = new Uint8Array(1)

/** Brings a file of so many bytes; the reason where that is refused, and how often each source was asked. */
async function bring(sourcesOf: (registry: FakeRegistry) => ChunkSource[], bytes = 600_000) {
  const state = join(folder.path, crypto.randomUUID())
  await mkdir(state)
  const store = openStore(state)
  const registry = new FakeRegistry()
  const version = registry.publish({ version: '1', files: { '1/model.onnx': randomBytes(bytes, 1) } })
  const asked: string[] = []
  const sources = sourcesOf(registry).map(
    (source, place): ChunkSource => ({
      name: `${place}`,
      fetch: (request) => {
        asked.push(`${place}`)
        return source.fetch(request)
      },
    }),
  )
  const assemblies = await store.staging.open(version.of, registry.fetchObject)
  const any = new AnySource({ sources, clock: systemClock, random: systemRandom, idleMsMax: 0 })
  const signal = new AbortController().signal
  let refusal: unknown
  for (const assembly of assemblies) {
    const options = { assembly, sources: [any], signal, progress: () => undefined }
    refusal ??= await download(options).catch((error: unknown) => error)
  }
  const missing = assemblies.flatMap((assembly) => assembly.missing())
  await closeAll(assemblies)
  store.database.close()
  return { refusal, asked: asked.join(''), missing }
}

const wrongAt = (chunk: number) => (bytes: Uint8Array, at: number) => (at === chunk ? WRONG : bytes)

describe('a wrong chunk', () => {
  test('is fetched another way', async () => {
    const brought = await bring((registry) => [registry.source(wrongAt(2)), registry.source()])
    expect(brought).toEqual({ refusal: undefined, asked: '01', missing: [] })
  })

  test('of a line that spoils one now and then is fetched again', async () => {
    let spoilt = 0
    const brought = await bring((registry) => [
      registry.source((bytes, at) => {
        if (at !== 2 || spoilt === 3) return bytes
        spoilt += 1
        return WRONG
      }),
    ])
    expect(brought).toEqual({ refusal: undefined, asked: '0000', missing: [] })
  })

  test('that comes wrong from everybody, four times over, is refused by name', async () => {
    const brought = await bring((registry) => [registry.source(wrongAt(2)), registry.source(wrongAt(2))])
    expect(brought).toMatchObject({
      refusal: { reason: 'chunk_tampered', message: '"any" gave 1 chunks of 1, 1 of them wrong' },
      // Once to get what is right, and four times in vain.
      asked: '01010',
      missing: [2],
    })
  })

  test('after another: who gives nothing else is not heard out', async () => {
    let given = 0
    const lying = (registry: FakeRegistry) => [
      registry.source(() => {
        given += 1
        return WRONG
      }),
    ]
    const { refusal, missing } = await bring(lying, 16_000_000)
    expect(refusal).toMatchObject({ reason: 'chunk_tampered' })
    expect(missing.length).toBeGreaterThan(100)
    expect(given).toBe(4 * 65)
  })
})
