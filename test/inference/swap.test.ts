import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { chooseSwap } from '../../src/inference/swap.ts'
import { SEED } from '../kit/seed.ts'

const facts = fc.record({
  policy: fc.constantFrom('auto' as const, 'keep_both' as const, 'drain' as const),
  bytes: fc.nat(100),
  fileBytes: fc.nat(100),
  budgetFreeBytes: fc.oneof(fc.integer({ min: -50, max: 200 }), fc.constant(Number.POSITIVE_INFINITY)),
  availableBytes: fc.oneof(fc.nat(300), fc.constant(Number.POSITIVE_INFINITY)),
  mayDrain: fc.boolean(),
})

test('the model decides where it does, and what could not come back is never drained', () => {
  fc.assert(
    fc.property(facts, (of) => {
      const { way } = chooseSwap(of)
      if (!of.mayDrain) expect(way).toBe('keep_both')
      else if (of.policy !== 'auto') expect(way).toBe(of.policy)
    }),
    { seed: SEED, numRuns: 1000 },
  )
})

test('left to itself it keeps both exactly when budget and system have room for both', () => {
  fc.assert(
    fc.property(facts, (of) => {
      const hasRoom = of.bytes <= of.budgetFreeBytes && of.bytes + of.fileBytes <= of.availableBytes
      const { way } = chooseSwap({ ...of, policy: 'auto', mayDrain: true })
      expect(way).toBe(hasRoom ? 'keep_both' : 'drain')
    }),
    { seed: SEED, numRuns: 1000 },
  )
})

test.each([
  [{ policy: 'drain' as const }, 'swap = "drain"'],
  [{ budgetFreeBytes: 5 }, '10 bytes are needed, 5 are left of models.memory_bytes_max'],
  [{ availableBytes: 15 }, '18 bytes are needed while it is loaded, the system has 15'],
  [{ mayDrain: false }, 'what is replaced could not come back'],
])('%j is explained', (of, why) => {
  const plain = {
    policy: 'auto' as const,
    bytes: 10,
    fileBytes: 8,
    budgetFreeBytes: 100,
    availableBytes: 100,
  }
  expect(chooseSwap({ ...plain, mayDrain: true, ...of }).why).toBe(why)
})
