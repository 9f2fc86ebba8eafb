/** Who goes when the room is full. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { chooseEvicted } from '../../src/engines/eviction.ts'
import { SEED } from '../kit/seed.ts'

const entry = (key: string, bytes: number, usedMs: number) => ({ key, bytes, usedMs })
const room = (changes: Partial<Parameters<typeof chooseEvicted>[1]> = {}) => ({
  wanted: { bytes: 10, entries: 1 },
  bytesMax: 100,
  entriesMax: 10,
  held: new Set<string>(),
  ...changes,
})
const keys = (evicted: readonly { key: string }[] | undefined) => evicted?.map(({ key }) => key)

describe('making room', () => {
  const full = [entry('new', 40, 3), entry('old', 30, 1), entry('middle', 30, 2)]

  test('takes nothing while what comes fits to the last byte', () => {
    expect(chooseEvicted(full, room({ bytesMax: 110 }))).toEqual([])
    expect(keys(chooseEvicted(full, room({ bytesMax: 109 })))).toEqual(['old'])
  })

  test('takes the longest unused first, and no more than it must', () => {
    expect(keys(chooseEvicted(full, room()))).toEqual(['old'])
    expect(keys(chooseEvicted(full, room({ wanted: { bytes: 60, entries: 1 } })))).toEqual(['old', 'middle'])
  })

  test('never takes what is held, and nothing at all where the rest is not enough', () => {
    expect(keys(chooseEvicted(full, room({ held: new Set(['old']) })))).toEqual(['middle'])
    expect(
      chooseEvicted(full, room({ wanted: { bytes: 70, entries: 1 }, held: new Set(['new']) })),
    ).toBeUndefined()
  })

  test('bounds how many there are, too', () => {
    expect(keys(chooseEvicted(full, room({ bytesMax: 1000, entriesMax: 3 })))).toEqual(['old'])
    expect(chooseEvicted(full, room({ bytesMax: 1000, entriesMax: 4 }))).toEqual([])
  })

  test('whatever is there: what is left fits, what is held stays, and one fewer would not do', () => {
    const some = fc.uniqueArray(
      fc.record({
        key: fc.string({ minLength: 1 }),
        bytes: fc.nat(50),
        usedMs: fc.nat(20),
        isHeld: fc.boolean(),
      }),
      { selector: ({ key }) => key, maxLength: 8 },
    )
    fc.assert(
      fc.property(some, fc.nat(120), (entries, bytes) => {
        const held = new Set(entries.filter(({ isHeld }) => isHeld).map(({ key }) => key))
        const of = room({ wanted: { bytes, entries: 1 }, held, entriesMax: 5 })
        const evicted = chooseEvicted(entries, of)
        const left = (gone: readonly { key: string }[]) => {
          const stay = entries.filter((one) => !gone.some(({ key }) => key === one.key))
          return { bytes: stay.reduce((sum, one) => sum + one.bytes, bytes), count: stay.length + 1 }
        }
        const fits = (gone: readonly { key: string }[]) => left(gone).bytes <= 100 && left(gone).count <= 5
        if (evicted === undefined) {
          expect(fits(entries.filter(({ isHeld }) => !isHeld))).toBe(false)
        } else {
          expect(evicted.some(({ key }) => held.has(key))).toBe(false)
          expect(fits(evicted)).toBe(true)
          if (evicted.length > 0) expect(fits(evicted.slice(0, -1))).toBe(false)
        }
      }),
      { seed: SEED },
    )
  })
})
