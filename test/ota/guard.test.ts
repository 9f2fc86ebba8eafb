import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { judge, type Shown, type Tally } from '../../src/ota/guard.ts'
import type { Measured } from '../../src/ota/ports.ts'
import { assigned, measured } from '../kit/ota-stage.ts'
import { SEED } from '../kit/seed.ts'

const { policy } = assigned('2', {
  policy: {
    ...assigned().policy,
    observeSeconds: 100,
    requestsMin: 200,
    errorPercentMax: 1,
    p95PercentMax: 130,
  },
})

function shown(now: Partial<Tally>, of: Partial<Omit<Shown, 'now'>> = {}): Shown {
  const tally: Tally = {
    requests: 0,
    errors: 0,
    notFinite: 0,
    crashes: 0,
    latency: [],
    replayed: { samples: 0, wrong: 0, reason: '' },
    ...now,
  }
  return { before: measured({ requests: 1000 }), elapsedSeconds: 100, silentSeconds: 0, ...of, now: tally }
}

/** So many requests up to each bound. */
function latency(...counts: [upToMs: number, count: number][]): Measured['latency'] {
  let sum = 0
  return counts.map(([upToMs, count]) => {
    sum += count
    return { upToMs, count: sum }
  })
}

describe('good', () => {
  test.each([
    ['the time and the requests, both at the least', shown({ requests: 200 })],
    ['four times the time, without requests', shown({}, { elapsedSeconds: 400 })],
    [
      'as many errors as before',
      shown({ requests: 1000, errors: 200 }, { before: measured({ requests: 1000, errors: 200 }) }),
    ],
    ['one error of two, which chance explains', shown({ requests: 202, errors: 1 })],
    [
      'slower within the bound',
      shown(
        { requests: 200, latency: latency([1, 0], [1.3, 200]) },
        { before: measured({ requests: 200, latency: latency([1, 200]) }) },
      ),
    ],
    [
      'NaN, as before',
      shown({ requests: 200, notFinite: 20 }, { before: measured({ requests: 100, notFinite: 10 }) }),
    ],
    [
      'slow, but too few to say',
      shown(
        { requests: 200, latency: latency([1, 0], [9, 19]) },
        { before: measured({ latency: latency([1, 200]) }) },
      ),
    ],
    [
      'slow, but nothing was before',
      shown({ requests: 200, latency: latency([9, 200]) }, { before: undefined }),
    ],
  ])('%s', (_, what) => {
    expect(judge(policy, what)).toEqual({ is: 'good' })
  })
})

describe('open', () => {
  test('too short', () => {
    expect(judge(policy, shown({ requests: 900 }, { elapsedSeconds: 99.9 }))).toEqual({
      is: 'open',
      percent: 99,
      wants: '99 of 100 s',
    })
  })
  test('too few', () => {
    expect(judge(policy, shown({ requests: 199 }, { elapsedSeconds: 399 }))).toEqual({
      is: 'open',
      percent: 100,
      wants: '199 of 200 requests',
    })
  })
})

describe('bad, at once', () => {
  test.each([
    ['a crash', 'crashed', shown({ crashes: 1 }, { elapsedSeconds: 1 })],
    [
      'a golden sample',
      'golden_failed',
      shown({ replayed: { samples: 2, wrong: 1, reason: 'x' } }, { elapsedSeconds: 1 }),
    ],
    [
      'one NaN where none was before',
      'not_finite',
      shown({ requests: 1, notFinite: 1 }, { elapsedSeconds: 1 }),
    ],
    ['all fail', 'errors', shown({ requests: 4, errors: 4 }, { elapsedSeconds: 1 })],
    ['3 % fail, 1 % may', 'errors', shown({ requests: 2000, errors: 60 }, { elapsedSeconds: 1 })],
    [
      'ten times slower',
      'slower',
      shown(
        { requests: 20, latency: latency([1, 0], [5, 1], [10, 19]) },
        { before: measured({ latency: latency([1, 100]) }), elapsedSeconds: 1 },
      ),
    ],
    ['no answer for half a minute', 'not_serving', shown({}, { silentSeconds: 31, elapsedSeconds: 31 })],
  ])('%s', (_, code, what) => {
    expect(judge(policy, what)).toMatchObject({ is: 'bad', code })
  })
})

test('what does not answer just now is not good yet, whatever it has shown before', () => {
  expect(judge(policy, shown({ requests: 1000 }, { silentSeconds: 1 }))).toMatchObject({
    is: 'open',
    wants: 'an answer',
  })
})

test('it always comes to a judgement: four times the time are enough, whatever was shown', () => {
  const anyTally = fc.record({
    requests: fc.nat(1000),
    errors: fc.nat(1000),
    notFinite: fc.nat(3),
    crashes: fc.nat(1),
  })
  fc.assert(
    fc.property(anyTally, fc.integer({ min: 400, max: 10_000 }), (tally, elapsedSeconds) => {
      const sane = { ...tally, errors: Math.min(tally.errors, tally.requests) }
      const { is } = judge(policy, shown(sane, { elapsedSeconds }))
      expect(['good', 'bad']).toContain(is)
      if (sane.crashes > 0 || sane.notFinite > 0) expect(is).toBe('bad')
    }),
    { seed: SEED },
  )
})
