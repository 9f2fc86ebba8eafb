/** What an entry is called by: everything that decides what is in it, and nothing else. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type EngineFacts, engineKey } from '../../src/engines/key.ts'
import { engineFacts } from '../kit/engine-facts.ts'
import { SEED } from '../kit/seed.ts'

type Value = string | number | Value[] | { [key: string]: Value }

/** The facts with one of their values changed, one added, or one renamed: each way that leads somewhere else. */
function neighbours(value: Value): Value[] {
  if (typeof value === 'string') return [`${value}x`]
  if (typeof value === 'number') return [value + 1]
  if (Array.isArray(value)) {
    const changed = value.flatMap((part, at) => neighbours(part).map((one) => value.with(at, one)))
    return [...changed, ...(value.length > 0 ? [value.slice(1), [...value, ...value.slice(0, 1)]] : [])]
  }
  const entries = Object.entries(value)
  return entries.flatMap(([key, part]) => {
    const { [key]: _, ...others } = value
    return [...neighbours(part).map((one) => ({ ...value, [key]: one })), others]
  })
}

const text = fc.string({ minLength: 1, maxLength: 8 })
const facts = fc.dictionary(text, text, { maxKeys: 3 })
const anyFacts: fc.Arbitrary<EngineFacts> = fc.record({
  kind: fc.constantFrom('optimized', 'engine'),
  model: text,
  runtime: facts,
  board: facts,
  providers: fc.array(fc.record({ name: text, options: facts, library: text }), { maxLength: 2 }),
  session: fc.record({
    graphOptimization: text,
    freeDimensions: fc.dictionary(text, fc.nat(), { maxKeys: 2 }),
    configEntries: facts,
  }),
})

describe('a key', () => {
  test('changes with every part of the facts, wherever one is changed, added or missing', () => {
    fc.assert(
      fc.property(anyFacts, (of) => {
        const others = neighbours(of as never) as unknown as EngineFacts[]
        const keys = new Set([of, ...others].map(engineKey))
        expect(keys.size).toBe(
          new Set([of, ...others].map((one) => Bun.inspect(one, { sorted: true, depth: 9 }))).size,
        )
      }),
      { seed: SEED, numRuns: 50 },
    )
  })

  test('does not hang on the order in which options were written', () => {
    const one = engineFacts({ board: { gpus: 'a', driver: 'b' } })
    const other = engineFacts({ board: { driver: 'b', gpus: 'a' } })
    expect(engineKey(one)).toBe(engineKey(other))
  })

  test('tells what differs in one word each', () => {
    const { session } = engineFacts()
    const all = [
      engineFacts(),
      engineFacts({ kind: 'engine' }),
      engineFacts({ model: 'b'.repeat(64) }),
      engineFacts({ runtime: { version: '1.31.0', build: 'Release', bytes: '1' } }),
      engineFacts({ board: { ...engineFacts().board, processor_features: 'avx512f' } }),
      engineFacts({ board: { ...engineFacts().board, gpus: '10de:26b9' } }),
      engineFacts({ board: { ...engineFacts().board, driver: '580.1' } }),
      engineFacts({ providers: [] }),
      engineFacts({ providers: [{ name: 'tensorrt', options: { trt_int8_enable: '1' }, library: '10 1' }] }),
      engineFacts({ providers: [{ name: 'tensorrt', options: { trt_fp16_enable: '1' }, library: '10 2' }] }),
      engineFacts({ session: { ...session, graphOptimization: 'extended' } }),
      engineFacts({ session: { ...session, freeDimensions: { batch: 2 } } }),
      engineFacts({ session: { ...session, configEntries: { 'session.set_denormal_as_zero': '1' } } }),
    ]
    expect(new Set(all.map(engineKey)).size).toBe(all.length)
  })
})
