/** Chunk indexes: what was written comes back, what is wrong is refused with words. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EdgeError } from '../../../src/kit/errors.ts'
import { decodeChunkIndex, encodeChunkIndex } from '../../../src/store/chunks/chunk-index.ts'
import { CHUNK_BYTES_MAX, OBJECT_BYTES_MAX } from '../../../src/store/chunks/limits.ts'
import { SEED } from '../../kit/seed.ts'

const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
const chunks = fc.array(fc.record({ length: fc.integer({ min: 1, max: CHUNK_BYTES_MAX }), sha256: hash }), {
  maxLength: 50,
})
const totalOf = (list: readonly { length: number }[]) => list.reduce((sum, chunk) => sum + chunk.length, 0)
const one = encodeChunkIndex([{ length: 70_000, sha256: 'ab'.repeat(32) }])

describe('an index', () => {
  test('comes back as it was, with the place of each chunk', () => {
    fc.assert(
      fc.property(chunks, (list) => {
        const index = decodeChunkIndex(encodeChunkIndex(list), { fileBytes: totalOf(list) })
        const read = list.map((_, chunk) => ({ length: index.length(chunk), sha256: index.sha256(chunk) }))
        expect(read).toEqual(list)
        expect(list.map((_, chunk) => index.offset(chunk))).toEqual(
          list.map((_, chunk) => totalOf(list.slice(0, chunk))),
        )
        expect([index.count, index.fileBytes]).toEqual([list.length, totalOf(list)])
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  test('cut off anywhere, it is refused', () => {
    for (let length = 0; length < one.length; length++) {
      expect(() => decodeChunkIndex(one.subarray(0, length), { fileBytes: 70_000 })).toThrow(EdgeError)
    }
  })

  test('of other bytes is refused, or is an index of a file of that size', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((rest) => Buffer.concat([Buffer.from('LCI1'), rest])),
      fc.tuple(chunks, fc.nat(), fc.nat(255)).map(([list, at, value]) => {
        const changed = Buffer.from(encodeChunkIndex(list))
        changed[at % changed.length] = value
        return changed
      }),
    )
    fc.assert(
      fc.property(bytes, fc.nat(200_000), (given, fileBytes) => {
        try {
          const index = decodeChunkIndex(given, { fileBytes })
          let total = 0
          for (let chunk = 0; chunk < index.count; chunk++) {
            expect(index.length(chunk)).toBeWithin(1, CHUNK_BYTES_MAX + 1)
            expect(index.sha256(chunk)).toMatch(/^[0-9a-f]{64}$/)
            total += index.length(chunk)
          }
          expect(total).toBe(fileBytes)
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError)
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})

const withLength = (length: number) => encodeChunkIndex([{ length, sha256: '00'.repeat(32) }])
test.each([
  ['begins with something else', Buffer.from('LCI2'), 0, 'it does not begin with "LCI1"'],
  ['has half an entry', one.subarray(0, 20), 70_000, '16 bytes of entries, expected a multiple of 35'],
  ['has an empty chunk', withLength(0), 0, 'chunk 0 has 0 bytes, expected 1 to 122880'],
  [
    'has a chunk that is too large',
    withLength(CHUNK_BYTES_MAX + 1),
    CHUNK_BYTES_MAX + 1,
    'chunk 0 has 122881 bytes, expected 1 to 122880',
  ],
  ['is of a smaller file', one, 70_001, 'its chunks come to 70000 bytes, the file has 70001'],
  [
    'is too large',
    new Uint8Array(OBJECT_BYTES_MAX + 1),
    0,
    `it has ${OBJECT_BYTES_MAX + 1} bytes, at most ${OBJECT_BYTES_MAX}`,
  ],
])('an index that %s is refused', (_, bytes, fileBytes, words) => {
  const decode = () => decodeChunkIndex(bytes, { fileBytes })
  expect(decode).toThrow(new EdgeError('input_invalid', `Cannot read a chunk index: ${words}`))
})

test('an index is read without knowing the size of its file', () => {
  expect(decodeChunkIndex(one).fileBytes).toBe(70_000)
})

test('a chunk as large as may be is read', () => {
  expect(decodeChunkIndex(withLength(CHUNK_BYTES_MAX), { fileBytes: CHUNK_BYTES_MAX }).count).toBe(1)
})

test('a file of more chunks than an index may have is refused when it is written', () => {
  const chunk = { length: 1, sha256: '00'.repeat(32) }
  const most = Math.floor((OBJECT_BYTES_MAX - 4) / 35)
  expect(encodeChunkIndex(Array(most).fill(chunk)).length).toBeLessThanOrEqual(OBJECT_BYTES_MAX)
  expect(() => encodeChunkIndex(Array(most + 1).fill(chunk))).toThrow(
    `Cannot list the chunks of a file: it has ${most + 1}, at most ${most}`,
  )
})
