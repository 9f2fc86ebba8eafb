import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Engine, type Permit } from '../../src/inference/engine.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend } from '../kit/fake-session.ts'
import { SEED } from '../kit/seed.ts'

function create(requestsMax: number, bytesMax: number): Engine {
  const lanes = new Lanes({ backend: new FakeBackend(), clock: new FakeClock(), runsMax: 1 })
  return new Engine({ lanes, requestsMax, bytesMax })
}

/** The code of what was refused, undefined for what was not. */
function refusal(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof EdgeError) return `${error.code}: ${error.message}`
    throw error
  }
}

test('admits as many as it may, refuses one more, and admits again when one has left', () => {
  const engine = create(2, 100)
  const first = engine.enter()
  engine.enter()
  expect(refusal(() => engine.enter())).toBe(
    'queue_full: Cannot admit request: 2 are in flight, at most 2 (inference.requests_max)',
  )
  first.leave()
  expect(refusal(() => engine.enter())).toBeUndefined()
  expect([engine.requests, engine.refused]).toEqual([2, { requests: 1, bytes: 0, heat: 0 }])
})

test('holds as many bytes as it may, refuses one more, and holds again when somebody has left', () => {
  const engine = create(3, 100)
  const first = engine.enter()
  const second = engine.enter()
  first.hold(60)
  second.hold(40)
  expect(refusal(() => second.hold(1))).toContain(
    'its 1 bytes and the 100 in flight are too many, at most 100',
  )
  first.leave()
  expect([engine.bytes, engine.refused]).toEqual([40, { requests: 0, bytes: 1, heat: 0 }])
  expect(refusal(() => second.hold(60))).toBeUndefined()
})

test('whatever comes and goes, nothing is kept of those that have left', () => {
  const step = fc.oneof(
    fc.constant('enter' as const),
    fc.nat(9),
    fc.record({ who: fc.nat(5), bytes: fc.nat(60) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const engine = create(4, 100)
      const inside: { permit: Permit; bytes: number }[] = []
      for (const each of steps) {
        if (each === 'enter') {
          if (refusal(() => inside.push({ permit: engine.enter(), bytes: 0 })) === undefined) continue
          expect(inside.length).toBe(4)
        } else if (typeof each === 'number') inside.splice(each, 1)[0]?.permit.leave()
        else {
          const one = inside[each.who]
          const before = inside.reduce((sum, { bytes }) => sum + bytes, 0)
          const isRefused = one !== undefined && refusal(() => one.permit.hold(each.bytes)) !== undefined
          if (one !== undefined) expect(isRefused).toBe(before + each.bytes > 100)
          if (one !== undefined && !isRefused) one.bytes += each.bytes
        }
        expect(engine.requests).toBe(inside.length)
        expect(engine.bytes).toBe(inside.reduce((sum, { bytes }) => sum + bytes, 0))
      }
    }),
    { seed: SEED, numRuns: 300 },
  )
})

test('while the board is hot each fourth one comes in, the others hear why, and all when it is over', () => {
  const engine = create(100, 100)
  engine.admit(0.25)
  const refused = Array.from({ length: 8 }, () => refusal(() => engine.enter()))
  expect(refused.map((said) => said === undefined)).toEqual([
    ...[false, false, false, true],
    ...[false, false, false, true],
  ])
  expect(refused[0]).toBe(
    'too_hot: Cannot admit request: the board is hot, and 25 % of the requests are let in (limpet_admitted_share)',
  )
  expect([engine.requests, engine.share, engine.refused.heat]).toEqual([2, 0.25, 6])
  engine.admit(1)
  expect(refusal(() => engine.enter())).toBeUndefined()
})
