/** Chunks as they are stored: smaller where that pays, and never more than they should be. */
import { describe, expect, test } from 'bun:test'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { EdgeError } from '../../../src/kit/errors.ts'
import { joinPlanes, splitPlanes } from '../../../src/store/chunks/byte-planes.ts'
import { CHUNK_BYTES_MAX } from '../../../src/store/chunks/limits.ts'
import { decodeChunk, encodeChunk } from '../../../src/store/chunks/stored-chunk.ts'
import { randomBytes, randomWeights } from '../../kit/random-bytes.ts'
import { SEED } from '../../kit/seed.ts'

const text = Buffer.from('weights '.repeat(5_000))
const weights = new Uint8Array(randomWeights(16_384, 3).buffer)
const zstdOf = (bytes: Uint8Array, planes = 1) => ({
  encoding: 'zstd' as const,
  bytes: Buffer.concat([Uint8Array.of(planes), zstdCompressSync(bytes)]),
})

describe('a stored chunk', () => {
  test('comes back as it was', () => {
    const chunk = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc
        .tuple(fc.integer({ min: 1, max: CHUNK_BYTES_MAX }), fc.nat())
        .map(([n, seed]) => randomBytes(n, seed)),
      fc
        .tuple(fc.integer({ min: 1, max: CHUNK_BYTES_MAX / 4 }), fc.nat())
        .map(([n, seed]) => new Uint8Array(randomWeights(n, seed).buffer)),
      fc.integer({ min: 1, max: CHUNK_BYTES_MAX }).map((n) => new Uint8Array(n)),
    )
    fc.assert(
      fc.property(chunk, (bytes) => {
        const stored = encodeChunk(bytes)
        expect(stored.bytes.length).toBeLessThanOrEqual(bytes.length)
        expect(Buffer.from(bytes).equals(decodeChunk(stored, bytes.length))).toBe(true)
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  test('is plain where nothing can be saved, smaller where it can', () => {
    expect(encodeChunk(randomBytes(60_000, 1)).encoding).toBe('plain')
    expect(encodeChunk(text).bytes.length).toBeLessThan(100)
  })

  test('of weights is smaller by a tenth and more: the exponents lie in a plane of their own', () => {
    const stored = encodeChunk(weights)
    expect(stored.bytes[0]).toBe(4)
    expect(stored.bytes.length / weights.length).toBeWithin(0.7, 0.9)
  })
})

test('planes are joined as they were split, whatever is left over', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(1, 2, 4), (bytes, planes) => {
      const joined = joinPlanes(Buffer.concat(splitPlanes(bytes, planes)), planes)
      expect(Buffer.from(bytes).equals(joined)).toBe(true)
    }),
    { seed: SEED, numRuns: 500 },
  )
})

const bomb = zstdCompressSync(new Uint8Array(64 * 2 ** 20))
describe('refused is', () => {
  test.each([
    [
      'a bomb',
      { encoding: 'zstd' as const, bytes: Buffer.concat([Uint8Array.of(1), bomb]) },
      CHUNK_BYTES_MAX,
    ],
    [
      'a bomb behind an honest frame',
      { encoding: 'zstd' as const, bytes: Buffer.concat([zstdOf(new Uint8Array(1_000)).bytes, bomb]) },
      CHUNK_BYTES_MAX,
    ],
    ['one byte too many', zstdOf(new Uint8Array(1_001)), 1_000],
    ['one byte too few', zstdOf(new Uint8Array(999)), 1_000],
    [
      'a frame cut off',
      { encoding: 'zstd' as const, bytes: zstdOf(text).bytes.subarray(0, 20) },
      text.length,
    ],
    ['no frame', { encoding: 'zstd' as const, bytes: Uint8Array.of(1) }, 10],
    ['nothing', { encoding: 'zstd' as const, bytes: new Uint8Array(0) }, 10],
    ['three planes', zstdOf(text, 3), text.length],
    ['a plain chunk of another size', { encoding: 'plain' as const, bytes: new Uint8Array(9) }, 10],
    ['an empty chunk', { encoding: 'plain' as const, bytes: new Uint8Array(0) }, 0],
    [
      'a chunk that is too large',
      { encoding: 'plain' as const, bytes: new Uint8Array(CHUNK_BYTES_MAX + 1) },
      CHUNK_BYTES_MAX + 1,
    ],
  ])('%s', (_, stored, length) => {
    const before = process.memoryUsage.rss()
    const decode = () => decodeChunk(stored, length)
    expect(decode).toThrow(EdgeError)
    expect(decode).toThrow(/^Cannot unpack a chunk: /)
    expect(process.memoryUsage.rss() - before).toBeLessThan(16 * 2 ** 20)
  })

  test('any other bytes, or they unpack to just as many as they should', () => {
    const frame = fc.constantFrom(encodeChunk(text).bytes, encodeChunk(weights).bytes)
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((rest) => Buffer.from([1, 0x28, 0xb5, 0x2f, 0xfd, ...rest])),
      fc
        .tuple(frame, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }))
        .map(([good, changes]) => {
          const bad = Buffer.from(good)
          for (const [at, value] of changes) bad[at % bad.length] = value
          return bad
        }),
      fc.tuple(frame, fc.nat()).map(([good, at]) => good.subarray(0, at % good.length)),
    )
    fc.assert(
      fc.property(bytes, fc.constantFrom(text.length, weights.length, 100), (given, length) => {
        try {
          expect(decodeChunk({ encoding: 'zstd', bytes: given }, length).length).toBe(length)
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError)
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})
