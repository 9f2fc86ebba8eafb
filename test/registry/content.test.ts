/** Bytes by their hash: what is kept is right, whole, and comes back in any part. */
import { afterAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { encodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { OBJECT_BYTES_MAX } from '../../src/store/chunks/limits.ts'
import { PackWriter } from '../../src/store/chunks/pack.ts'
import { encodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'
import { bodyOf, jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
afterAll(stage.remove)
const publisher = stage.as('publisher')
const device = stage.asDevice('cam-01')

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const put = (name: string, body: RequestInit['body']) =>
  stage.app.request(`/v1/objects/${name}`, { method: 'PUT', headers: publisher, body: body ?? null })
const kept = () => readdir(join(stage.folder, 'objects'))

describe('objects', () => {
  test('come back as they went in, and never change', async () => {
    const bytes = randomBytes(100_000, SEED)
    const put1 = await put(sha256(bytes), bytes)
    expect([put1.status, await bodyOf(put1)]).toEqual([201, { sha256: sha256(bytes), bytes: 100_000 }])
    expect((await put(sha256(bytes), bytes)).status).toBe(201)
    const got = await stage.app.request(`/v1/objects/${sha256(bytes)}`, { headers: device })
    expect(sha256(await got.bytes())).toBe(sha256(bytes))
    expect(got.headers.get('cache-control')).toContain('immutable')
  })

  test('with a wrong name are refused, and nothing of them stays', async () => {
    const before = await kept()
    const bytes = randomBytes(1_000, SEED)
    const wrong = sha256(randomBytes(1_000, SEED + 1))
    const refused = await put(wrong, bytes)
    expect([refused.status, (await bodyOf(refused))['message']]).toEqual([
      400,
      `Cannot take the object: its SHA-256 is ${sha256(bytes)}, expected ${wrong}`,
    ])
    expect(await kept()).toEqual(before)
  })

  test('may have 8 MiB and not one byte more', async () => {
    const largest = new Uint8Array(OBJECT_BYTES_MAX)
    expect((await put(sha256(largest), largest)).status).toBe(201)
    const larger = new Uint8Array(OBJECT_BYTES_MAX + 1)
    const refused = await put(sha256(larger), larger)
    expect([refused.status, (await bodyOf(refused))['error']]).toEqual([413, 'body_too_large'])
  })

  test('whose sender breaks off leave nothing', async () => {
    const before = await kept()
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(10)),
      pull: (controller) => controller.error(new Error('the line broke')),
    })
    await put(sha256(new Uint8Array(10)), broken)
    expect(await kept()).toEqual(before)
  })

  test.each(['..', '../registry.sqlite', 'A'.repeat(64), 'a'.repeat(63), ''])(
    '"%s" is nobody\'s name',
    async (name) => {
      const answer = await stage.app.request(`/v1/objects/${encodeURIComponent(name)}`, { headers: device })
      expect(answer.status).toBe(404)
    },
  )
})

test('any one range comes back as asked; what lies outside is refused', async () => {
  const bytes = randomBytes(5_000, SEED)
  await put(sha256(bytes), bytes)
  const ask = (range: string) =>
    stage.app.request(`/v1/objects/${sha256(bytes)}`, { headers: { ...device, range } })

  await fc.assert(
    fc.asyncProperty(fc.nat(4_999), fc.nat(10_000), async (start, more) => {
      const answer = await ask(`bytes=${start}-${start + more}`)
      const end = Math.min(5_000, start + more + 1)
      expect(answer.status).toBe(206)
      expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/5000`)
      expect(sha256(await answer.bytes())).toBe(sha256(bytes.subarray(start, end)))
    }),
    { seed: SEED, numRuns: 50 },
  )
  const got = async (range: string) => [(await ask(range)).status, (await (await ask(range)).bytes()).length]
  expect(await got('bytes=-10')).toEqual([206, 10])
  expect(await got('bytes=4990-')).toEqual([206, 10])
  expect(await got('items=1-2')).toEqual([200, 5_000])
  for (const range of ['bytes=5000-', 'bytes=2-1', 'bytes=-', 'bytes=0-1,3-4', 'bytes=a-b', 'bytes=-0']) {
    const refused = await ask(range)
    expect([range, refused.status, (await bodyOf(refused))['error']]).toEqual([range, 416, 'range_invalid'])
  }
})

describe('packs', () => {
  const chunks = [50_000, 16_384, 1].map((length, index) =>
    index === 1 ? new Uint8Array(length) : randomBytes(length, SEED + index),
  )

  function makePack(of: readonly Uint8Array[], lie?: string): Uint8Array {
    const writer = new PackWriter()
    for (const chunk of of) {
      writer.add({ sha256: lie ?? sha256(chunk), length: chunk.length, stored: encodeChunk(chunk) })
    }
    return writer.finish().bytes
  }

  const post = (body: Uint8Array) =>
    stage.app.request('/v1/packs', { method: 'POST', headers: publisher, body: Uint8Array.from(body) })
  const missing = async (of: readonly string[]) =>
    (
      await bodyOf(
        await stage.app.request('/v1/chunks/missing', jsonRequest('POST', { sha256: of }, publisher)),
      )
    )['missing']

  test('bring chunks, which are then not missing, and lie where the index says', async () => {
    const hashes = chunks.map(sha256)
    expect(await missing(hashes)).toEqual(hashes)
    const pack = makePack(chunks)
    const taken = await post(pack)
    expect([taken.status, await bodyOf(taken)]).toEqual([
      201,
      { sha256: sha256(pack), bytes: pack.length, chunks: 3 },
    ])
    expect(await missing(hashes)).toEqual([])

    const unknown = 'f'.repeat(64)
    const index = encodeChunkIndex([
      ...chunks.map((chunk) => ({ length: chunk.length, sha256: sha256(chunk) })),
      { length: 5, sha256: unknown },
    ])
    await put(sha256(index), Uint8Array.from(index))
    const { places } = (await bodyOf(
      await stage.app.request(`/v1/indexes/${sha256(index)}/places`, { headers: device }),
    )) as { places: { pack: string; offset: number; stored_bytes: number; encoding: string }[] }
    expect(places.map((place) => place?.encoding)).toEqual(['plain', 'zstd', 'plain', undefined as never])
    const [first] = places
    const stored = await stage.app.request(`/v1/packs/${first?.pack}`, {
      headers: {
        ...device,
        range: `bytes=${first?.offset}-${(first?.offset ?? 0) + (first?.stored_bytes ?? 0) - 1}`,
      },
    })
    expect(sha256(await stored.bytes())).toBe(sha256(chunks[0] ?? new Uint8Array()))
  })

  test('with a chunk that is not what the table says are refused, and the chunk stays missing', async () => {
    const promised = 'e'.repeat(64)
    const refused = await post(makePack([randomBytes(20_000, SEED + 9)], promised))
    expect([refused.status, (await bodyOf(refused))['message']]).toEqual([
      400,
      expect.stringContaining(`its table says ${promised}`),
    ])
    expect(await missing([promised])).toEqual([promised])
  })

  test('with any byte flipped are refused, or bring the same chunks', async () => {
    const fresh = [randomBytes(300, SEED + 20), new Uint8Array(400).fill(7)]
    const pack = makePack(fresh)
    await fc.assert(
      fc.asyncProperty(fc.nat(pack.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const flipped = Uint8Array.from(pack)
        flipped[at] = (flipped[at] ?? 0) ^ mask
        expect((await post(flipped)).status).toBe(400)
      }),
      { seed: SEED, numRuns: 100 },
    )
    expect(await readdir(join(stage.folder, 'packs'))).toHaveLength(1)
  })
})
