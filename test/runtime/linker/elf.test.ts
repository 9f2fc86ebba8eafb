/** What a shared library says of itself, and that no file makes its reader stumble. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type ElfFacts, readElf } from '../../../src/runtime/linker/elf.ts'
import { ElfRefusal } from '../../../src/runtime/linker/elf-view.ts'
import { readLinkerCache } from '../../../src/runtime/linker/linker-cache.ts'
import { type ElfWish, makeElf } from '../../kit/elf-maker.ts'
import { SEED } from '../../kit/seed.ts'

const read = (bytes: Uint8Array): ElfFacts =>
  readElf((offset, length) => bytes.subarray(offset, offset + length))

const WISH = {
  soname: 'libfirst.so.1',
  needed: ['libc.so.6', 'libcudart.so.13'],
  runpath: '$ORIGIN:$ORIGIN/../lib',
  versionsNeeded: [
    { file: 'libc.so.6', versions: ['GLIBC_2.4', 'GLIBC_2.38'] },
    { file: 'libcudart.so.13', versions: ['libcudart.so.13'], isWeak: true },
  ],
  versionsDefined: ['FIRST_1.0', 'FIRST_1.1'],
} satisfies ElfWish

describe('a library', () => {
  test.each(['x64', 'arm64'] as const)('for %s says what it is and what it needs', (machine) => {
    expect(read(makeElf({ ...WISH, machine }))).toEqual({
      machine,
      soname: 'libfirst.so.1',
      needed: ['libc.so.6', 'libcudart.so.13'],
      runpath: ['$ORIGIN', '$ORIGIN/../lib'],
      rpath: [],
      versionsNeeded: [
        { file: 'libc.so.6', versions: ['GLIBC_2.4', 'GLIBC_2.38'] },
        { file: 'libcudart.so.13', versions: [] },
      ],
      versionsDefined: ['FIRST_1.0', 'FIRST_1.1'],
    })
  })

  test('that says little is one all the same', () => {
    const { needed, soname, versionsDefined } = read(makeElf({}))
    expect({ needed, soname, versionsDefined }).toEqual({
      needed: [],
      soname: undefined,
      versionsDefined: [],
    })
  })
})

describe('what is none', () => {
  const whole = makeElf(WISH)
  const changed = (change: (view: DataView) => void) => {
    const copy = whole.slice()
    change(new DataView(copy.buffer))
    return copy
  }
  test.each<[what: string, bytes: Uint8Array, says: RegExp]>([
    ['nothing', new Uint8Array(0), /^is empty$/],
    ['text', new TextEncoder().encode('this is not a library, whatever it is called'), /^is no library/],
    ['a beginning', whole.slice(0, 40), /^is cut off in its first 64 bytes$/],
    ['cut off behind its header', whole.slice(0, 100), /^is damaged: it ends before its byte/],
    ['for 32-bit Arm', changed((view) => view.setUint16(18, 40, true)), /^is for 32-bit Arm$/],
    [
      'for nobody knows what',
      changed((view) => view.setUint16(18, 999, true)),
      /^is for another machine \(ELF 999\)$/,
    ],
    ['of 32 bits', changed((view) => view.setUint8(4, 1)), /^is for another machine/],
    [
      'with 65535 segments',
      changed((view) => view.setUint16(56, 65_535, true)),
      /^is damaged: it claims 65535 program headers/,
    ],
    ['a program', changed((view) => view.setUint32(64 + 56, 3, true)), /^is no shared library/],
    [
      'with its names nowhere',
      changed((view) => view.setBigUint64(64 + 16, 1n, true)),
      /^is damaged: nothing lies at 0x/,
    ],
  ])('%s is refused in words', (_, bytes, says) => {
    expect(() => read(bytes)).toThrow(ElfRefusal)
    expect(() => read(bytes)).toThrow(says)
  })

  test('a list that comes back to itself has an end', () => {
    const circling = makeElf({
      versionsNeeded: [
        { file: 'a', versions: ['A_1'] },
        { file: 'b', versions: ['B_1'] },
      ],
    })
    const view = new DataView(circling.buffer)
    // The first entry's "next" leads 4 GiB on, and the arithmetic of 32 bits would lead it back.
    view.setUint32(64 + 2 * 56 + 16 * 4 + 12, 0xffff_fff0, true)
    expect(() => read(circling)).toThrow(ElfRefusal)
  })
})

test('whatever is changed in one, it is read or refused, and that soon', () => {
  const whole = makeElf(WISH)
  const change = fc.tuple(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 12 }),
      fc.nat({ max: whole.length }),
      (changes, length) => {
        const bytes = whole.slice(0, length % 3 === 0 ? length : whole.length)
        for (const [at, value] of changes) bytes[at] = value
        try {
          expect(Array.isArray(read(bytes).needed)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(ElfRefusal)
        }
      },
    ),
    { seed: SEED, numRuns: 3000 },
  )
})

describe("the linker's cache", () => {
  const NAMES = ['libc.so.6', 'libcudart.so.12'] as const
  const PLACES = ['/lib/x86_64-linux-gnu/libc.so.6', '/usr/local/cuda/lib64/libcudart.so.12'] as const
  const make = (flags: number, lead = '') => {
    const header = Buffer.alloc(48 + 24 * NAMES.length)
    header.write('glibc-ld.so.cache1.1')
    header.writeUInt32LE(NAMES.length, 20)
    const texts = NAMES.flatMap((name, index) => [name, PLACES[index] ?? ''])
    let at = header.length
    for (const [index, text] of texts.entries()) {
      const entry = 48 + 24 * Math.floor(index / 2)
      header.writeInt32LE(flags, entry)
      header.writeUInt32LE(at, entry + (index % 2 === 0 ? 4 : 8))
      at += text.length + 1
    }
    return Buffer.concat([Buffer.from(lead), header, Buffer.from(`${texts.join('\0')}\0`)])
  }

  test('tells places by name, also behind an older cache', () => {
    const expected = new Map(NAMES.map((name, index) => [name, [PLACES[index] ?? '']]))
    expect(readLinkerCache(make(0x0303), 'x64')).toEqual(expected)
    expect(readLinkerCache(make(0x0a03, 'ld.so-1.7.0\0\0\0\0\0'), 'arm64')).toEqual(expected)
    expect(readLinkerCache(make(0x0303), 'arm64').size).toBe(0)
  })

  test('is read as far as it goes, whatever it holds', () => {
    expect(readLinkerCache(make(0x0303).subarray(0, 80), 'x64').size).toBeLessThan(NAMES.length)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from('glibc-ld.so.cache1.1'), noise])
        expect(readLinkerCache(bytes, 'x64').size).toBeLessThan(100)
      }),
      { seed: SEED, numRuns: 1000 },
    )
  })
})
