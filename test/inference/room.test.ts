import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { makeRoom, type Resident } from '../../src/inference/room.ts'
import { SEED } from '../kit/seed.ts'

const NOW = 1000

const resident = fc.record({
  bytes: fc.nat(50),
  lastUsedMs: fc.nat(2000),
  turnEndsMs: fc.nat(2000),
  isPinned: fc.boolean(),
})
const residents = fc
  .array(resident, { maxLength: 8 })
  .map((all): Resident[] => all.map((of, index) => ({ ...of, id: `m/${index}` })))
const need = fc.record({ bytes: fc.nat(120), bytesMax: fc.nat(200) })

const sum = (all: readonly Resident[]) => all.reduce((total, { bytes }) => total + bytes, 0)

/** Every decision, in many memories. */
function check(claim: (of: { bytes: number; bytesMax: number; all: Resident[] }) => void): void {
  fc.assert(
    fc.property(need, residents, (wanted, all) => claim({ ...wanted, all })),
    { seed: SEED, numRuns: 2000 },
  )
}

test('what goes makes enough room, is not pinned, has had its turn, and none of it goes in vain', () => {
  check(({ bytes, bytesMax, all }) => {
    const verdict = makeRoom({ bytes, bytesMax }, all, NOW)
    if (bytesMax === 0 || !('evict' in verdict)) return
    const gone = all.filter(({ id }) => verdict.evict.includes(id))
    const left = sum(all) - sum(gone)
    expect(left + bytes).toBeLessThanOrEqual(bytesMax)
    expect(gone.every(({ isPinned, turnEndsMs }) => !isPinned && turnEndsMs <= NOW)).toBe(true)
    for (const one of gone) expect(left + one.bytes + bytes).toBeGreaterThan(bytesMax)
  })
})

test('nothing goes when there is room, or no bound', () => {
  check(({ bytes, bytesMax, all }) => {
    const fits = bytesMax === 0 || sum(all) + bytes <= bytesMax
    const verdict = makeRoom({ bytes, bytesMax }, all, NOW)
    if (fits) expect(verdict).toEqual({ evict: [] })
    else if ('evict' in verdict) expect(verdict.evict).not.toEqual([])
  })
})

test('it is refused only if it could not fit with everything gone that may go, whenever it asks', () => {
  check(({ bytes, bytesMax, all }) => {
    const held = sum(all.filter(({ isPinned }) => isPinned))
    const isHopeless =
      bytesMax > 0 && held + bytes > bytesMax && (bytes > bytesMax || sum(all) + bytes > bytesMax)
    expect('refuse' in makeRoom({ bytes, bytesMax }, all, NOW)).toBe(isHopeless)
  })
})

test('it waits only for turns that end, and after they have all ended it waits no more', () => {
  check(({ bytes, bytesMax, all }) => {
    const verdict = makeRoom({ bytes, bytesMax }, all, NOW)
    if (!('waitMs' in verdict)) return
    expect(verdict.waitMs).toBeGreaterThan(0)
    expect(all.map(({ turnEndsMs }) => turnEndsMs)).toContain(NOW + verdict.waitMs)
    expect(makeRoom({ bytes, bytesMax }, all, 2001)).toHaveProperty('evict')
  })
})

describe('of lanes of one size', () => {
  test('the one that was used least recently goes first', () => {
    check(({ all }) => {
      const equal = all.map((of) => ({ ...of, bytes: 10 }))
      const verdict = makeRoom({ bytes: 10, bytesMax: equal.length * 10 || 10 }, equal, NOW)
      if (!('evict' in verdict) || equal.length === 0) return
      const ripe = equal.filter(({ isPinned, turnEndsMs }) => !isPinned && turnEndsMs <= NOW)
      const [gone] = ripe.filter(({ id }) => verdict.evict.includes(id))
      expect(verdict.evict.length).toBe(1)
      expect(gone?.lastUsedMs).toBe(Math.min(...ripe.map(({ lastUsedMs }) => lastUsedMs)))
    })
  })
})

test('a refusal names the numbers and the setting', () => {
  expect(makeRoom({ bytes: 11, bytesMax: 10 }, [], NOW)).toEqual({
    refuse: 'it needs 11 bytes, at most 10 (models.memory_bytes_max)',
  })
  const pinned = { id: 'm/1', bytes: 6, lastUsedMs: 0, turnEndsMs: 0, isPinned: true }
  expect(makeRoom({ bytes: 5, bytesMax: 10 }, [pinned], NOW)).toEqual({
    refuse: 'it needs 5 bytes, and 6 of 10 (models.memory_bytes_max) are held by what is not let go',
  })
})
