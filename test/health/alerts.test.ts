/** When what is measured is an alert, and when it is none any more. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type AlertChange, type AlertRule, type AlertStates, judge } from '../../src/health/alerts.ts'
import type { Measured } from '../../src/health/source.ts'
import { SEED } from '../kit/seed.ts'

const HOT: AlertRule = {
  name: 'temperature',
  measured: 'temperature_celsius',
  subject: 'zone',
  beyond: 'above',
  warning: 90,
  critical: 100,
  margin: 5,
  unit: ' °C',
}
const EXPIRY: AlertRule = {
  name: 'certificate',
  measured: 'certificate_days',
  beyond: 'below',
  warning: 30,
  critical: 7,
  margin: 0,
  unit: ' days',
}

const zone = (value: number, of = 'cpu'): Measured => ({
  name: 'temperature_celsius',
  labels: { zone: of },
  value,
})

/** One sample after the other, ten seconds apart. */
function follow(samples: readonly (readonly Measured[])[], rules = [HOT, EXPIRY]) {
  let states: AlertStates = new Map()
  const told: (AlertChange & { at: number })[] = []
  for (const [at, measured] of samples.entries()) {
    const judged = judge(states, measured, { rules, nowMs: at * 10_000 })
    states = judged.states
    told.push(...judged.changes.map((change) => ({ ...change, at })))
  }
  return { told, states }
}

const steps = ({ told }: ReturnType<typeof follow>) =>
  told.map(({ at, state, severity }) => [at, state, severity])

describe('a value', () => {
  test('has to be beyond its limit three times in a row, and back by the margin as often', () => {
    const seen = follow([80, 91, 89, 91, 92, 93, 89, 86, 84, 84, 84].map((value) => [zone(value)]))
    expect(steps(seen)).toEqual([
      [5, 'raised', 'warning'],
      [10, 'cleared', 'warning'],
    ])
    expect(seen.told[0]).toMatchObject({
      name: 'temperature',
      subject: 'cpu',
      since: 50_000,
      value: 93,
      limit: 90,
      message: 'temperature of cpu is 93 °C, the limit is 90 °C',
    })
    expect(seen.told[1]).toMatchObject({
      since: 50_000,
      value: 84,
      message: 'temperature of cpu is 84 °C, well again',
    })
    expect(seen.states.size).toBe(0)
  })

  test('that gets worse is told again with the time at which it began, and so is one that gets better', () => {
    const seen = follow([95, 95, 95, 101, 101, 101, 97, 97, 97, 94, 94, 94].map((value) => [zone(value)]))
    expect(steps(seen)).toEqual([
      [2, 'raised', 'warning'],
      [5, 'raised', 'critical'],
      [11, 'raised', 'warning'],
    ])
    expect(seen.told.map(({ since }) => since)).toEqual([20_000, 20_000, 20_000])
  })

  test('may be bad when it is low', () => {
    const seen = follow(
      [31, 29, 29, 29, 6, 6, 6, 365, 365, 365].map((value) => [{ name: 'certificate_days', value }]),
    )
    expect(steps(seen)).toEqual([
      [3, 'raised', 'warning'],
      [6, 'raised', 'critical'],
      [9, 'cleared', 'critical'],
    ])
  })

  test('of one thing says nothing of another', () => {
    const seen = follow(Array.from({ length: 3 }, () => [zone(95, 'cpu'), zone(50, 'gpu')]))
    expect(seen.told.map(({ subject }) => subject)).toEqual(['cpu'])
  })

  test('that is not measured for a while changes nothing; after ten minutes its alert is over', () => {
    const away = Array.from({ length: 59 }, () => [])
    expect(steps(follow([...Array.from({ length: 3 }, () => [zone(95)]), ...away]))).toEqual([
      [2, 'raised', 'warning'],
    ])
    const gone = follow([...Array.from({ length: 3 }, () => [zone(95)]), ...away, []])
    expect(steps(gone)).toEqual([
      [2, 'raised', 'warning'],
      [62, 'cleared', 'warning'],
    ])
    expect(gone.told[1]?.message).toBe('temperature of cpu is not measured any more')
  })

  test('without a limit is never an alert', () => {
    const rule = { ...HOT, warning: undefined, critical: undefined }
    expect(
      follow(
        Array.from({ length: 9 }, () => [zone(200)]),
        [rule],
      ).told,
    ).toEqual([])
  })
})

test('whatever is measured: raised and cleared take turns, and between two words there are three samples', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 70, max: 115, noNaN: true }), { maxLength: 200 }), (values) => {
      const { told } = follow(values.map((value) => [zone(value)]))
      for (const [index, { state, severity, at }] of told.entries()) {
        const before = told[index - 1]
        if (before === undefined) expect(state).toBe('raised')
        else {
          expect(at - before.at).toBeGreaterThanOrEqual(3)
          expect([state, severity]).not.toEqual([before.state, before.severity])
          if (before.state === 'cleared') expect(state).toBe('raised')
        }
      }
    }),
    { seed: SEED, numRuns: 200 },
  )
})

test('a value that swings within the margin about its limit is told once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 85.1, max: 94.9, noNaN: true }), { minLength: 3, maxLength: 200 }),
      (values) => {
        const { told } = follow(values.map((value) => [zone(value)]))
        expect(told.length).toBeLessThanOrEqual(1)
      },
    ),
    { seed: SEED, numRuns: 100 },
  )
})
