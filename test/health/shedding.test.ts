import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { nextShare, SHARE_MIN } from '../../src/health/shedding.ts'
import { SEED } from '../kit/seed.ts'

const LIMITS = { shedCelsius: 94, throttleCelsius: 99 }

/** The shares after each of these temperatures. */
function follow(celsius: readonly (number | undefined)[], from = 1): number[] {
  let share = from
  return celsius.map((each) => (share = nextShare(share, each, LIMITS)))
}

describe('what is let in', () => {
  test('is all while it is cool', () => expect(follow([20, 60, 93.9])).toEqual([1, 1, 1]))

  test('is a tenth less at each look while it is too hot, and a tenth at least', () =>
    expect(follow(Array(11).fill(94))).toEqual([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]))

  test('is half of it at each look where the board throttles', () =>
    expect(follow([99, 99, 120, 99, 99])).toEqual([0.5, 0.25, 0.125, SHARE_MIN, SHARE_MIN]))

  test('stays as it is just below the limit, so that it does not go up and down', () =>
    expect(follow([94, 93.9, 91.1, 92], 0.5)).toEqual([0.4, 0.4, 0.4, 0.4]))

  test('comes back by half a step further below', () =>
    expect(follow([91, 91, 91, 50], 0.85)).toEqual([0.9, 0.95, 1, 1]))

  test('is all where no sensor says anything', () => expect(follow([99, undefined])).toEqual([0.5, 1]))

  test('is a share between the least and all, less never for cooler, and all again in 18 cool looks', () => {
    const celsius = fc.double({ min: -50, max: 150, noNaN: true })
    const looks = fc.array(celsius, { maxLength: 50 })
    fc.assert(
      fc.property(looks, celsius, celsius, (before, one, other) => {
        const share = follow(before).at(-1) ?? 1
        expect(share).toBeGreaterThanOrEqual(SHARE_MIN)
        expect(share).toBeLessThanOrEqual(1)
        const [cooler, hotter] = [Math.min(one, other), Math.max(one, other)]
        expect(nextShare(share, cooler, LIMITS)).toBeGreaterThanOrEqual(nextShare(share, hotter, LIMITS))
        expect(follow(Array(18).fill(40), share).at(-1)).toBe(1)
      }),
      { seed: SEED },
    )
  })
})
