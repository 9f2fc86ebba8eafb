/** One file put together from chunks, whatever order they come in and whatever stops it. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, open, readFile, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { openDatabase } from '../../src/kit/database.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { Assembly } from '../../src/store/assembly.ts'
import { sha256Of } from '../../src/store/chunks/chunk-file.ts'
import { decodeChunkIndex, encodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { PartProgress } from '../../src/store/part-progress.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'

const folder = await createFolder()
/** Of processes that were stopped without closing anything. */
const abandoned: Assembly[] = []
afterAll(async () => {
  await Promise.all(abandoned.map((part) => part.close().catch(() => undefined)))
  await folder.remove()
})

interface Given {
  readonly chunks: readonly Uint8Array[]
  /** Instead of the hash of the whole. */
  readonly sha256?: string
}

/** A file that is to be, and what it takes to put it together. */
async function stage({ chunks, sha256 }: Given) {
  const home = join(folder.path, crypto.randomUUID())
  await mkdir(home)
  const whole = Buffer.concat(chunks)
  const bytes = encodeChunkIndex(chunks.map((chunk) => ({ length: chunk.length, sha256: sha256Of(chunk) })))
  const database = openDatabase(':memory:')
  const clock = new FakeClock()
  const path = join(home, 'model.onnx')
  const index = decodeChunkIndex(bytes, { fileBytes: whole.length })
  const progress = new PartProgress(database)
  const key = { manifest: 'm', path: '1/model.onnx', chunkIndex: sha256Of(bytes) }
  const openPart = () =>
    Assembly.open({ progress, clock, key, path, index, sha256: sha256 ?? sha256Of(whole) })
  const committed = () => progress.read(key)
  return { path, whole, clock, index, openPart, committed, database, progress, key }
}

const threeChunks = [1, 2, 3].map((seed) => randomBytes(1_000, seed))
const small = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 200 }), fc.nat(3)).map(([length, seed]) => randomBytes(length, seed)),
  { minLength: 1, maxLength: 20 },
)

describe('a file', () => {
  test('is whole once every chunk has come, in any order, twice, and among wrong ones', async () => {
    await fc.assert(
      fc.asyncProperty(small, fc.infiniteStream(fc.nat()), async (chunks, random) => {
        const { path, whole, openPart } = await stage({ chunks })
        const part = await openPart()
        while (part.missing().length > 0) {
          const missing = part.missing()
          const chunk = missing[(random.next().value ?? 0) % missing.length] ?? 0
          const bytes = chunks[chunk] ?? new Uint8Array(0)
          const wrong = Uint8Array.from(bytes)
          wrong[0] = (wrong[0] ?? 0) + 1
          expect(await part.write(chunk, wrong)).toBe('wrong')
          expect(await part.write(chunk, bytes.subarray(1))).toBe('wrong')
          expect(await part.write(chunk, bytes)).toBe('written')
          expect(await part.write(chunk, bytes)).toBe('known')
        }
        expect(part.doneBytes).toBe(whole.length)
        expect(await part.finish()).toBe(0)
        await part.close()
        expect((await readFile(path)).equals(whole)).toBe(true)
      }),
      { seed: SEED, numRuns: 50 },
    )
  })

  test('takes a chunk that occurs more than once as often as it occurs', async () => {
    const [one = new Uint8Array(0), two = new Uint8Array(0)] = threeChunks
    const { openPart } = await stage({ chunks: [one, two, one, one] })
    const part = await openPart()
    expect(part.missing()).toEqual([0, 1])
    expect(await part.write(2, one)).toBe('written')
    expect(part.missing()).toEqual([1])
    expect([part.doneBytes, part.has(3)]).toEqual([3_000, true])
    await part.close()
  })

  test('of nothing is whole at once', async () => {
    const { path, openPart } = await stage({ chunks: [] })
    const part = await openPart()
    expect([part.missing(), await part.finish()]).toEqual([[], 0])
    await part.close()
    expect((await readFile(path)).length).toBe(0)
  })

  test.each([-1, 3, 1.5, Number.NaN])('has no chunk %d', async (chunk) => {
    const { openPart } = await stage({ chunks: threeChunks })
    const part = await openPart()
    expect(await part.write(chunk, threeChunks[0] ?? new Uint8Array(0))).toBe('wrong')
    await part.close()
  })
})

describe('what is on disk for certain', () => {
  test('is noted after 4 MiB, not before', async () => {
    const chunks = Array.from({ length: 45 }, (_, seed) => randomBytes(100_000, seed))
    const { openPart, committed } = await stage({ chunks })
    const part = await openPart()
    for (const [chunk, bytes] of chunks.entries()) {
      await part.write(chunk, bytes)
      expect(committed() === undefined).toBe((chunk + 1) * 100_000 < 4 * 2 ** 20)
    }
    await part.close()
  })

  test('is noted after two seconds, not before', async () => {
    const { openPart, committed, clock } = await stage({ chunks: threeChunks })
    const part = await openPart()
    clock.advance(1_999)
    await part.write(0, threeChunks[0] ?? new Uint8Array(0))
    expect(committed()).toBeUndefined()
    clock.advance(1)
    await part.write(1, threeChunks[1] ?? new Uint8Array(0))
    expect(committed()).toEqual(Buffer.of(0b011))
    await part.close()
  })

  test('is noted by each of many commits at once, and by the closing', async () => {
    const { openPart, committed } = await stage({ chunks: threeChunks })
    const part = await openPart()
    await Promise.all(threeChunks.map((bytes, chunk) => part.write(chunk, bytes).then(() => part.commit())))
    expect(committed()).toEqual(Buffer.of(0b111))
    await part.close()
  })

  test('stays missing when it cannot be noted, and nothing is lost', async () => {
    const { openPart, committed, database } = await stage({ chunks: threeChunks })
    const part = await openPart()
    await part.write(0, threeChunks[0] ?? new Uint8Array(0))
    database.pragma('query_only = ON')
    await expect(part.commit()).rejects.toMatchObject({ code: 'storage_failed' })
    database.pragma('query_only = OFF')
    await part.commit()
    expect(committed()).toEqual(Buffer.of(0b001))
    await part.close()
  })
})

describe('the next process', () => {
  /** Everything written, the first chunk alone committed, and no goodbye: as after a kill. */
  async function stopped() {
    const staged = await stage({ chunks: threeChunks })
    const part = await staged.openPart()
    abandoned.push(part)
    await part.write(0, threeChunks[0] ?? new Uint8Array(0))
    await part.commit()
    await part.write(1, threeChunks[1] ?? new Uint8Array(0))
    return staged
  }

  test('goes on with what was committed and with what was only written', async () => {
    const { openPart, committed } = await stopped()
    const part = await openPart()
    expect(part.missing()).toEqual([2])
    expect(part.doneBytes).toBe(2_000)
    expect(committed()).toEqual(Buffer.of(0b011))
    await part.close()
  })

  test('does not take up what was half written', async () => {
    const { openPart, path } = await stopped()
    const file = await open(path, 'r+')
    await file.write(new Uint8Array(500), 0, 500, 1_500)
    await file.close()
    const part = await openPart()
    expect(part.missing()).toEqual([1, 2])
    await part.close()
  })

  test('begins again where the file is gone, whatever was noted', async () => {
    const { openPart, path, committed } = await stopped()
    await rm(path)
    const part = await openPart()
    expect(part.missing()).toEqual([0, 1, 2])
    expect(committed()).toBeUndefined()
    await part.close()
  })

  test('begins again where the file was cut short, by any number of bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(2_999), async (length) => {
        const { openPart, path } = await stopped()
        await truncate(path, length)
        const part = await openPart()
        expect(part.missing()).toEqual([0, 1, 2])
        for (const [chunk, bytes] of threeChunks.entries()) await part.write(chunk, bytes)
        expect(await part.finish()).toBe(0)
        await part.close()
      }),
      { seed: SEED, numRuns: 30 },
    )
  })

  test('does not believe what was noted for other chunks', async () => {
    const { progress, key, openPart } = await stopped()
    progress.write({ ...key, chunkIndex: 'another' }, Buffer.of(0b111))
    const part = await openPart()
    // What was found by hashing is believed all the same.
    expect(part.missing()).toEqual([2])
    await part.close()
  })
})

describe('a finished file', () => {
  test('has each wrong chunk dropped, wherever it has rotted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(2_999), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const { openPart, path, whole } = await stage({ chunks: threeChunks })
        const part = await openPart()
        for (const [chunk, bytes] of threeChunks.entries()) await part.write(chunk, bytes)
        await part.commit()
        const file = await open(path, 'r+')
        await file.write(Uint8Array.of((whole[at] ?? 0) ^ change), 0, 1, at)
        await file.close()
        expect(await part.finish()).toBe(1)
        const rotten = Math.floor(at / 1_000)
        expect(part.missing()).toEqual([rotten])
        await part.close()
        const again = await openPart()
        expect(again.missing()).toEqual([rotten])
        await again.write(rotten, threeChunks[rotten] ?? new Uint8Array(0))
        expect(await again.finish()).toBe(0)
        await again.close()
      }),
      { seed: SEED, numRuns: 30 },
    )
  })

  test('that its index describes and its manifest does not is refused: fetching again would not help', async () => {
    const { openPart } = await stage({ chunks: threeChunks, sha256: '00'.repeat(32) })
    const part = await openPart()
    for (const [chunk, bytes] of threeChunks.entries()) await part.write(chunk, bytes)
    await expect(part.finish()).rejects.toThrow('each chunk is what its index says')
    await expect(part.finish()).rejects.toBeInstanceOf(EdgeError)
    await part.close()
  })

  test('is not hashed to the end when the work is called off', async () => {
    const { openPart } = await stage({ chunks: threeChunks })
    const part = await openPart()
    for (const [chunk, bytes] of threeChunks.entries()) await part.write(chunk, bytes)
    await expect(part.finish(AbortSignal.abort())).rejects.toThrow('aborted')
    await part.close()
  })
})

test('a part that cannot be opened is refused with its path', async () => {
  const { openPart, path } = await stage({ chunks: threeChunks })
  await mkdir(path)
  await expect(openPart()).rejects.toMatchObject({ code: 'storage_failed' })
  await expect(openPart()).rejects.toThrow(`Cannot open the part "${path}": EISDIR`)
})
