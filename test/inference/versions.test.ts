import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { chooseVersions, compareVersions, latestVersion } from '../../src/inference/versions.ts'
import { SEED } from '../kit/seed.ts'

/** What the store takes as a version, with many that are nearly the same. */
const version = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}$/)
const number = fc.nat(2 ** 31)

function check<T>(...args: [fc.Arbitrary<T>, (value: T) => void]): void {
  fc.assert(fc.property(...args), { seed: SEED, numRuns: 500 })
}

describe('the order of versions', () => {
  test('two are the same only if they read the same, and it does not matter which is asked about', () => {
    check(fc.tuple(version, version), ([a, b]) => {
      expect(compareVersions(a, b) === 0).toBe(a === b)
      expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0)
    })
  })

  test('it has no circles', () => {
    check(fc.tuple(version, version, version), (versions) => {
      const [a, b, c] = [...versions].sort(compareVersions) as [string, string, string]
      expect(compareVersions(a, b)).toBeLessThanOrEqual(0)
      expect(compareVersions(b, c)).toBeLessThanOrEqual(0)
      expect(compareVersions(a, c)).toBeLessThanOrEqual(0)
    })
  })

  test('numbers go by value', () => {
    check(fc.tuple(number, number), ([a, b]) => {
      expect(Math.sign(compareVersions(`${a}`, `${b}`))).toBe(Math.sign(a - b))
    })
  })

  test('numbers with dots go by value, part by part', () => {
    check(fc.tuple(number, number, number), ([a, b, c]) => {
      expect(Math.sign(compareVersions(`${a}.${b}`, `${a}.${c}`))).toBe(Math.sign(b - c))
    })
  })

  test.each([
    [['10', '9', '1']],
    [['1.10', '1.9', '1.9-rc1']],
    [['20240601', '20231231']],
    [['v10', 'v2', '3']],
    [['01', '1', '0']],
    [['1.01', '01.1', '01', '1']],
  ])('latest first: %p', (latestFirst) => {
    expect([...latestFirst].sort(compareVersions).reverse()).toEqual(latestFirst)
  })
})

test('the latest is none of none, and otherwise one that nothing comes after', () => {
  check(fc.array(version), (versions) => {
    const latest = latestVersion(versions)
    if (latest === undefined) expect(versions).toEqual([])
    else {
      expect(versions).toContain(latest)
      for (const other of versions) expect(compareVersions(other, latest)).toBeLessThanOrEqual(0)
    }
  })
})

describe('the policy', () => {
  const there = ['10', '9', '2']

  test.each([
    ['latest', ['10']],
    [{ latest: 2 }, ['9', '10']],
    [{ latest: 4 }, ['2', '9', '10']],
    ['all', ['2', '9', '10']],
    [
      ['10', '2'],
      ['2', '10'],
    ],
    [['9', '11'], ['9']],
    [['11'], []],
  ] as const)('%p of 10, 9, 2', (policy, chosen) => {
    expect(chooseVersions(policy, there)).toEqual([...chosen])
  })

  test('leaves what it was given as it was', () => {
    chooseVersions('all', there)
    expect(there).toEqual(['10', '9', '2'])
  })

  test.each(['latest', 'all'] as const)('%s of none is none', (policy) => {
    expect(chooseVersions(policy, [])).toEqual([])
  })
})
