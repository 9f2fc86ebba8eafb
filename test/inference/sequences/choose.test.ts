/** Which sequences share a run. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  chooseDirect,
  chooseOldest,
  instanceOf,
  positionOf,
  type Turn,
} from '../../../src/inference/sequences/choose.ts'
import { scheduling } from '../../kit/fake-session.ts'
import { SEED } from '../../kit/seed.ts'

const turn = (slot: number, more: Partial<Turn> = {}): Turn => ({
  slot,
  batchSize: 1,
  batchKey: 'k',
  arrivedMs: 0,
  ...more,
})

const direct = (
  more: { slots?: number; instances?: number; busy?: number[]; delay?: number; share?: number } = {},
) => ({
  strategy: {
    kind: 'direct',
    queueDelayMsMax: more.delay ?? 0,
    slotUtilizationMin: more.share ?? 0,
  } as const,
  instances: more.instances ?? 1,
  width: more.slots ?? 4,
  busy: new Set(more.busy ?? []),
})

describe('direct', () => {
  test('what an instance has goes, by slot', () => {
    expect(chooseDirect([turn(3), turn(0), turn(2)], direct(), 0)).toEqual({
      run: [turn(0), turn(2), turn(3)],
    })
  })

  test('slots belong to an instance; one that runs is passed over', () => {
    const [zero, one, two] = [turn(0), turn(1), turn(2)]
    expect(chooseDirect([zero, one, two], direct({ instances: 2 }), 0)).toEqual({ run: [zero, two] })
    expect(chooseDirect([zero, one, two], direct({ instances: 2, busy: [0] }), 0)).toEqual({ run: [one] })
    const none = { waitMs: Number.POSITIVE_INFINITY }
    expect(chooseDirect([zero, one], direct({ instances: 2, busy: [0, 1] }), 0)).toEqual(none)
  })

  test('the first slots of the instances are given before the second ones', () => {
    const places = [0, 1, 2, 3].map((slot) => [instanceOf(slot, 2), positionOf(slot, 2)])
    expect(places).toEqual([
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ])
  })

  test('other shapes than the first wait for the next run', () => {
    const turns = [turn(2), turn(0, { batchKey: 'other' }), turn(1)]
    expect(chooseDirect(turns, direct(), 0)).toEqual({ run: [turn(1), turn(2)] })
  })

  test('a share of the slots is waited for, up to the delay of the oldest', () => {
    const wanted = direct({ share: 0.5, delay: 10 })
    expect(chooseDirect([turn(0)], wanted, 3)).toEqual({ waitMs: 7 })
    expect(chooseDirect([turn(0), turn(1, { arrivedMs: 3 })], wanted, 3)).toMatchObject({ run: [{}, {}] })
    expect(chooseDirect([turn(0)], wanted, 10)).toEqual({ run: [turn(0)] })
  })

  test('without a share nobody waits, whatever the delay', () => {
    expect(chooseDirect([turn(0)], direct({ delay: 10 }), 0)).toEqual({ run: [turn(0)] })
  })
})

test('oldest is dynamic batching, in the order in which they became ready', () => {
  const settings = scheduling({ batchSizeMax: 2, isDynamic: true, queueDelayMsMax: 10 })
  const turns = [turn(5), turn(1), turn(3)]
  expect(chooseOldest(turns, settings, 0)).toEqual({ run: [turn(5), turn(1)] })
  expect(chooseOldest([turn(5)], settings, 4)).toEqual({ waitMs: 6 })
  expect(chooseOldest([turn(5)], settings, 10)).toEqual({ run: [turn(5)] })
  expect(chooseOldest([turn(5)], scheduling(), 0)).toEqual({ run: [turn(5)] })
})

test('oldest looks no further than a run is long', () => {
  let seen = 0
  function* endless() {
    for (;;) {
      seen += 1
      yield turn(seen)
    }
  }
  chooseOldest(endless(), scheduling({ batchSizeMax: 4, isDynamic: true }), 0)
  expect(seen).toBe(5)
})

test('whatever is ready: a run is of one instance that is free, of equal shapes, and each slot once', () => {
  const turns = fc.uniqueArray(
    fc.record({
      slot: fc.nat(15),
      batchSize: fc.constant(1),
      batchKey: fc.constantFrom('a', 'b'),
      arrivedMs: fc.nat(20),
    }),
    { selector: ({ slot }) => slot },
  )
  const settings = fc.record({
    instances: fc.integer({ min: 1, max: 4 }),
    busy: fc.array(fc.nat(3)),
    delay: fc.nat(20),
    share: fc.constantFrom(0, 0.25, 1),
  })
  fc.assert(
    fc.property(turns, settings, (all, one) => {
      const of = direct({ ...one, slots: 4 })
      const choice = chooseDirect(all, of, 20)
      const free = all.filter(({ slot }) => !of.busy.has(instanceOf(slot, of.instances)))
      if ('waitMs' in choice) {
        expect(choice.waitMs).toBeGreaterThan(0)
        if (free.length > 0) expect(one.share).toBeGreaterThan(0)
        return
      }
      const [first] = choice.run
      expect(first).toBeDefined()
      for (const { slot, batchKey } of choice.run) {
        expect(instanceOf(slot, of.instances)).toBe(instanceOf(first?.slot ?? 0, of.instances))
        expect<string | undefined>(batchKey).toBe(first?.batchKey)
      }
      expect(new Set(choice.run).size).toBe(choice.run.length)
      expect(choice.run.every((taken) => free.includes(taken))).toBe(true)
    }),
    { seed: SEED, numRuns: 500 },
  )
})
