/** Files in chunks: nothing is lost, cuts are where the content or a boundary says, and a change stays where it is. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { chunkBytes, chunkFile, sha256Of, summarizeFile } from '../../../src/store/chunks/chunk-file.ts'
import { decodeChunkIndex } from '../../../src/store/chunks/chunk-index.ts'
import { GEAR } from '../../../src/store/chunks/gear.ts'
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from '../../../src/store/chunks/limits.ts'
import { createFolder } from '../../kit/binary.ts'
import { randomBytes } from '../../kit/random-bytes.ts'
import { SEED } from '../../kit/seed.ts'

const folder = await createFolder()
afterAll(folder.remove)

/** Random content, with stretches that are all the same. */
const content = fc
  .array(fc.tuple(fc.nat(200_000), fc.nat(2 ** 31), fc.boolean()), { maxLength: 5 })
  .map((parts) =>
    Buffer.concat(
      parts.map(([length, seed, isRandom]) => (isRandom ? randomBytes(length, seed) : Buffer.alloc(length))),
    ),
  )
const boundaries = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { maxLength: 20 })
  .map((places) => places.sort((one, other) => one - other))

describe('chunks', () => {
  test('are the file, in order; each within its bounds, each boundary the beginning of one', () => {
    fc.assert(
      fc.property(content, boundaries, (bytes, places) => {
        const chunks = [...chunkBytes(bytes, places)]
        const starts = new Set(chunks.map((chunk) => chunk.offset))
        let offset = 0
        for (const chunk of chunks) {
          expect(chunk.offset).toBe(offset)
          expect(chunk.bytes.length).toBeGreaterThan(0)
          expect(chunk.bytes.length).toBeLessThanOrEqual(CHUNK_BYTES_MAX)
          offset += chunk.bytes.length
          const isCutByContent = offset < bytes.length && !places.includes(offset)
          if (isCutByContent) expect(chunk.bytes.length).toBeGreaterThanOrEqual(CHUNK_BYTES_MIN)
        }
        expect(Buffer.concat(chunks.map((chunk) => chunk.bytes)).equals(bytes)).toBe(true)
        for (const place of places) expect(starts.has(place)).toBe(place < bytes.length)
      }),
      { seed: SEED, numRuns: 100 },
    )
  })

  test('of a file are those of its bytes', async () => {
    const path = join(folder.path, 'file')
    await fc.assert(
      fc.asyncProperty(content, boundaries, async (bytes, places) => {
        await Bun.write(path, bytes)
        const expected = [...chunkBytes(bytes, places)].map((chunk) => ({
          length: chunk.bytes.length,
          sha256: sha256Of(chunk.bytes),
        }))
        const summary = await summarizeFile(path, places)
        expect(summary.chunks).toEqual(expected)
        expect(summary.bytes).toBe(bytes.length)
        expect(summary.sha256).toBe(sha256Of(bytes))
        const index = decodeChunkIndex(summary.index, { fileBytes: bytes.length })
        expect(index.count).toBe(expected.length)
      }),
      { seed: SEED, numRuns: 50 },
    )
  })

  test.each([4 * 2 ** 20 - 1, 4 * 2 ** 20, 4 * 2 ** 20 + 1, 9_000_000])(
    'of a file of %d bytes, more than are read at once, are those of its bytes',
    async (length) => {
      const bytes = randomBytes(length, 7)
      const path = join(folder.path, 'large')
      await Bun.write(path, bytes)
      const places = [1, 4_194_303, 4_194_304, 4_194_305]
      const read: string[] = []
      for await (const chunk of chunkFile(path, places)) read.push(`${chunk.offset} ${sha256Of(chunk.bytes)}`)
      expect(read).toEqual(
        [...chunkBytes(bytes, places)].map((chunk) => `${chunk.offset} ${sha256Of(chunk.bytes)}`),
      )
    },
  )

  test('are 64 KiB on average, of random bytes', () => {
    const count = [...chunkBytes(randomBytes(32 * 2 ** 20, 1))].length
    expect((32 * 1024) / count).toBeWithin(58, 76)
  })

  test('of an empty file are none', () => {
    expect([...chunkBytes(new Uint8Array(0))]).toEqual([])
  })

  test('of what is the same all over are as large as may be', () => {
    const lengths = [...chunkBytes(new Uint8Array(300_000))].map((chunk) => chunk.bytes.length)
    expect(lengths).toEqual([CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 300_000 - 2 * CHUNK_BYTES_MAX])
  })
})

test('what is inserted, removed or changed costs the chunks around it and no others', () => {
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.nat(5_000), fc.nat(5_000), fc.nat(), (at, removed, added, seed) => {
      const before = randomBytes(2_000_000, seed)
      const after = Buffer.concat([
        before.subarray(0, at),
        randomBytes(added, seed + 1),
        before.subarray(at + removed),
      ])
      const known = new Set([...chunkBytes(before)].map((chunk) => sha256Of(chunk.bytes)))
      const unknown = [...chunkBytes(after)].filter((chunk) => !known.has(sha256Of(chunk.bytes)))
      const bytes = unknown.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
      expect(bytes).toBeLessThan(8 * CHUNK_BYTES_MAX)
    }),
    { seed: SEED, numRuns: 50 },
  )
})

test('the same content is cut in the same places for ever: this is part of the format', () => {
  expect(sha256Of(new Uint8Array(GEAR.buffer))).toBe(
    '7af9a25d3dcad89dd7bc5d76b814d13fa8c97dd5891d08c6543715d5e129b56e',
  )
  const lengths = [...chunkBytes(randomBytes(600_000, 42), [100_000])].map((chunk) => chunk.bytes.length)
  expect(lengths).toEqual([32771, 67229, 117635, 122880, 55528, 75633, 122880, 5444])
})
