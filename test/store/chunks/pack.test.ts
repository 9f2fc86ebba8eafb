/** Packs: many chunks in one file, found again by its table, which is not believed before it was checked. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { EdgeError } from '../../../src/kit/errors.ts'
import { sha256Of } from '../../../src/store/chunks/chunk-file.ts'
import { PACK_BYTES_MAX } from '../../../src/store/chunks/limits.ts'
import { decodePackTable, PackWriter, readPackTable } from '../../../src/store/chunks/pack.ts'
import { decodeChunk, encodeChunk } from '../../../src/store/chunks/stored-chunk.ts'
import { createFolder } from '../../kit/binary.ts'
import { randomBytes } from '../../kit/random-bytes.ts'
import { SEED } from '../../kit/seed.ts'

const folder = await createFolder()
afterAll(folder.remove)

function packOf(chunks: readonly Uint8Array[]) {
  const writer = new PackWriter()
  for (const bytes of chunks) {
    writer.add({ sha256: sha256Of(bytes), length: bytes.length, stored: encodeChunk(bytes) })
  }
  return writer.finish()
}

const sample = packOf([Buffer.from('one'), Buffer.from('two '.repeat(100)), randomBytes(20_000, 1)])
const chunk = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 100 }),
  fc.integer({ min: 1, max: 5_000 }).map((length) => new Uint8Array(length)),
)

describe('a pack', () => {
  test('gives back every chunk, once, by its table, from memory and from a file', async () => {
    const path = join(folder.path, 'pack')
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 30 }), async (chunks) => {
        const pack = packOf(chunks)
        expect(pack.sha256).toBe(sha256Of(pack.bytes))
        await Bun.write(path, pack.bytes)
        const table = await readPackTable(path)
        expect(decodePackTable(pack.bytes)).toEqual(table)
        const given = [...new Map(chunks.map((bytes) => [sha256Of(bytes), bytes])).values()]
        const read = table.map(({ offset, storedBytes, encoding, length }) =>
          decodeChunk({ encoding, bytes: pack.bytes.subarray(offset, offset + storedBytes) }, length),
        )
        expect(read.map(sha256Of)).toEqual(given.map(sha256Of))
        expect(table.map(({ sha256 }) => sha256)).toEqual(given.map(sha256Of))
      }),
      { seed: SEED, numRuns: 50 },
    )
  })

  test('is full before it is too large, to the byte', () => {
    const add = (writer: PackWriter, seed: number) => {
      const bytes = randomBytes(1_000, seed)
      return writer.add({ sha256: sha256Of(bytes), length: 1_000, stored: { encoding: 'plain', bytes } })
    }
    const exact = 4 + 2 * (1_000 + 39) + 8
    const roomy = new PackWriter(exact)
    expect([add(roomy, 1), add(roomy, 2), add(roomy, 3), add(roomy, 1), roomy.count]).toEqual([
      true,
      true,
      false,
      true,
      2,
    ])
    expect(roomy.finish().bytes.length).toBe(exact)
    const tight = new PackWriter(exact - 1)
    expect([add(tight, 1), add(tight, 2)]).toEqual([true, false])
  })

  test('keeps what it was given, though the buffer is used again', () => {
    const bytes = Buffer.from('first')
    const writer = new PackWriter()
    writer.add({ sha256: sha256Of(bytes), length: 5, stored: { encoding: 'plain', bytes } })
    bytes.write('other')
    expect(Buffer.from(writer.finish().bytes).toString('latin1', 4, 9)).toBe('first')
  })

  test('cut off anywhere, it is refused', () => {
    for (let length = 0; length < sample.bytes.length; length += length < 30 ? 1 : 7) {
      expect(() => decodePackTable(sample.bytes.subarray(0, length))).toThrow(EdgeError)
    }
  })

  test('with other bytes in its table is refused, or its chunks lie within it side by side', () => {
    const tableBytes = 3 * 39 + 8
    const changes = fc.array(fc.tuple(fc.nat(tableBytes - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(changes, (list) => {
        const bytes = Buffer.from(sample.bytes)
        for (const [at, value] of list) bytes[bytes.length - 1 - at] = value
        try {
          let end = 4
          for (const entry of decodePackTable(bytes)) {
            expect(entry.offset).toBe(end)
            end += entry.storedBytes
          }
          expect(end).toBe(bytes.length - tableBytes)
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError)
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})

function changed(change: (bytes: Buffer, end: number) => void): Uint8Array {
  const bytes = Buffer.from(sample.bytes)
  change(bytes, bytes.length)
  return bytes
}

test.each([
  ['too short', new Uint8Array(11), `it has 11 bytes, expected 12 to ${PACK_BYTES_MAX}`],
  [
    'too large',
    new Uint8Array(PACK_BYTES_MAX + 1),
    `it has ${PACK_BYTES_MAX + 1} bytes, expected 12 to ${PACK_BYTES_MAX}`,
  ],
  ['of another kind', changed((bytes) => bytes.write('LPK2')), 'it does not begin with "LPK1"'],
  ['without an end', changed((bytes, end) => bytes.write('LPTx', end - 4)), 'it does not end with "LPT1"'],
  [
    'with a table larger than itself',
    changed((bytes, end) => bytes.writeUInt32BE(2 ** 32 - 1, end - 8)),
    'its table has 4294967295 entries, more than fit into',
  ],
  [
    'with a chunk twice',
    changed((bytes, end) => bytes.copy(bytes, end - 8 - 78, end - 8 - 117, end - 8 - 117 + 32)),
    'is in it twice',
  ],
  ['with an unknown encoding', changed((bytes, end) => bytes.writeUInt8(2, end - 9)), 'has the encoding 2'],
  [
    'with a chunk that is too large',
    changed((bytes, end) => bytes.writeUIntBE(122_881, end - 15, 3)),
    'has 122881 bytes, expected 1 to 122880',
  ],
  [
    'with a plain chunk of two sizes',
    changed((bytes, end) => bytes.writeUIntBE(19_999, end - 15, 3)),
    'of 19999 bytes is stored as 20000, plain',
  ],
  [
    'with a gap',
    changed(
      (bytes, end) =>
        bytes.writeUIntBE(2, end - 8 - 117 + 32, 3) && bytes.writeUIntBE(2, end - 8 - 117 + 35, 3),
    ),
    'its chunks end at',
  ],
])('a pack %s is refused', (_, bytes, words) => {
  expect(() => decodePackTable(bytes)).toThrow(/^Cannot read a pack: /)
  expect(() => decodePackTable(bytes)).toThrow(words)
})

test('a pack file that is refused is refused from the file too', async () => {
  const path = join(folder.path, 'broken')
  await Bun.write(path, sample.bytes.subarray(1))
  await expect(readPackTable(path)).rejects.toThrow('it does not begin with "LPK1"')
  await Bun.write(path, 'short')
  await expect(readPackTable(path)).rejects.toThrow('it has 5 bytes')
})
