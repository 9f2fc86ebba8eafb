import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Lanes } from '../../src/inference/lanes.ts'
import { chooseRetries, isDegraded, type Retries } from '../../src/inference/provider-retry.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { ModelSource, Session, SessionOptions } from '../../src/runtime/backend.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeSession, lanePlan } from '../kit/fake-session.ts'
import { SEED } from '../kit/seed.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const MINUTE = 60_000
const degraded = (id: string) => ({ id, isLame: true })
const whole = (id: string) => ({ id, isLame: false })

describe('a provider that failed', () => {
  test('is tried again after a minute, two, four, up to an hour, for ever', () => {
    let retries: Retries = new Map()
    const at: number[] = []
    for (let minute = 0; minute <= 250; minute += 1) {
      const chosen = chooseRetries(retries, [degraded('m/1')], minute * MINUTE)
      retries = chosen.retries
      if (chosen.due.length > 0) at.push(minute)
    }
    expect(at).toEqual([1, 3, 7, 15, 31, 63, 123, 183, 243])
  })

  test('begins anew once it has run as long as it had to wait, and goes on where it was before that', () => {
    const look = (retries: Retries, isBad: boolean, minute: number) =>
      chooseRetries(retries, [isBad ? degraded('m/1') : whole('m/1')], minute * MINUTE)
    const tried = look(look(new Map(), true, 0).retries, true, 1)
    expect(tried.due).toEqual(['m/1'])
    // Back, and gone again a minute later: two minutes to wait.
    const flapped = look(look(tried.retries, false, 1.5).retries, true, 2)
    expect([look(flapped.retries, true, 3.9).due, look(flapped.retries, true, 4).due]).toEqual([[], ['m/1']])
    // Back for good.
    expect(look(tried.retries, false, 3).retries.size).toBe(0)
  })

  test(`is never tried twice within a minute, nor forgotten for more than an hour (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.boolean()), { maxLength: 200 }),
        (steps) => {
          let retries: Retries = new Map()
          let [minute, last, badSince] = [0, Number.NEGATIVE_INFINITY, Number.NaN]
          for (const [minutes, isBad] of steps) {
            minute += minutes
            badSince = isBad ? (Number.isNaN(badSince) ? minute : badSince) : Number.NaN
            const chosen = chooseRetries(retries, [isBad ? degraded('m/1') : whole('m/1')], minute * MINUTE)
            retries = chosen.retries
            if (chosen.due.length === 0) {
              // One look is at most half an hour after the one before.
              if (isBad) expect(minute - Math.max(last, badSince)).toBeLessThan(60 + 30)
              continue
            }
            expect([isBad, minute - last >= 1]).toEqual([true, true])
            last = minute
          }
        },
      ),
      { seed: SEED },
    )
  })
})

describe('trying again', () => {
  /** Loads what the test says next, and keeps what it was asked for. */
  function stage() {
    const next: (Session | Error)[] = []
    const asked: SessionOptions[] = []
    const backend = {
      name: 'fake',
      load: async (_: ModelSource, options: SessionOptions) => {
        asked.push(options)
        const session = next.shift()
        if (session === undefined || session instanceof Error) throw session ?? new Error('nothing to load')
        return session
      },
    }
    const lanes = new Lanes({
      backend,
      clock: new FakeClock(),
      runsMax: 1,
      memory: { bytesMax: 100, availableBytes: async () => Number.POSITIVE_INFINITY },
    })
    const lamed = new FakeSession()
    lamed.refusals = [
      { provider: 'gpu', reason: 'device lost', hasFailed: true },
      { provider: 'npu', reason: 'not there' },
    ]
    next.push(lamed)
    return { lanes, next, asked, lamed }
  }

  test('puts a lane with the provider in the place of the one without', async () => {
    const { lanes, next, asked, lamed } = stage()
    await lanes.load(lanePlan('m', '1'))
    expect(lanes.ready().map(isDegraded)).toEqual([true])
    next.push(new FakeSession())
    expect(await lanes.retryProviders('m', '1')).toBeUndefined()
    expect(asked.at(-1)?.mustHave).toEqual(['gpu'])
    expect(lanes.ready().map(isDegraded)).toEqual([false])
    expect(lamed.closed).toBe(1)
  })

  test.each([
    ['is still gone', () => new Error('device lost'), /device lost/],
    ['fails again while it is warmed up', () => failing(), /gpu failed while it ran: again/],
  ])('leaves what serves where the provider %s', async (_, session, why) => {
    const { lanes, next, lamed } = stage()
    await lanes.load(lanePlan('m', '1'))
    next.push(session())
    expect(await lanes.retryProviders('m', '1')).toMatch(why)
    expect(lanes.ready().map(isDegraded)).toEqual([true])
    expect(lanes.status('m', '1')).toMatchObject({ state: 'READY', reason: '' })
    expect(lamed.closed).toBe(0)
  })

  test('waits where there is no room for two', async () => {
    const { lanes, asked } = stage()
    await lanes.load({ ...lanePlan('m', '1'), fileBytes: 60 })
    expect(await lanes.retryProviders('m', '1')).toBe('there is no room for 60 bytes beside it')
    expect(asked).toHaveLength(1)
  })
})

function failing(): FakeSession {
  const session = new FakeSession()
  session.refusals = [{ provider: 'gpu', reason: 'again', hasFailed: true }]
  return session
}
