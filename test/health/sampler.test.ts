/** All sources at once: one that hangs, fails or says too much costs nothing but its own values. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Sampler } from '../../src/health/sampler.ts'
import type { Source } from '../../src/health/source.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const good: Source = { name: 'good', read: () => Promise.resolve([{ name: 'a', value: 1 }]) }

test('one that hangs is waited for once, is not asked again while it does, and is back when it has answered', async () => {
  const answers: PromiseWithResolvers<{ name: string; value: number }[]>[] = []
  const hanging: Source = {
    name: 'hanging',
    read: () => {
      const answer = Promise.withResolvers<{ name: string; value: number }[]>()
      answers.push(answer)
      return answer.promise
    },
  }
  const sampler = new Sampler({ sources: [hanging, good], clock: new FlowingClock() })
  const skipped = (value: number) => ({
    name: 'health_source_skipped_total',
    labels: { source: 'hanging' },
    value,
  })
  expect(await sampler.sample()).toEqual([{ name: 'a', value: 1 }, skipped(1)])
  expect(sampler.problems).toEqual([{ source: 'hanging', skipped: 1, reason: 'no answer within 2000 ms' }])
  expect(await sampler.sample()).toEqual([{ name: 'a', value: 1 }, skipped(2)])
  expect(answers.length).toBe(1)
  answers[0]?.resolve([{ name: 'late', value: 0 }])
  // What hangs on the answer is done once nothing else is left to do.
  await new Promise((resolve) => setImmediate(resolve))
  const third = sampler.sample()
  answers[1]?.resolve([{ name: 'b', value: 2 }])
  expect(await third).toEqual([{ name: 'b', value: 2 }, { name: 'a', value: 1 }, skipped(2)])
  expect(sampler.problems).toEqual([])
})

test('one that fails says why, and the others are there', async () => {
  const broken: Source = { name: 'broken', read: () => Promise.reject(new Error('no such bus')) }
  const sampler = new Sampler({ sources: [broken, good], clock: new FlowingClock() })
  expect((await sampler.sample()).map(({ name }) => name)).toEqual(['a', 'health_source_skipped_total'])
  expect(sampler.problems).toEqual([{ source: 'broken', skipped: 1, reason: 'no such bus' }])
})

test('one that says too much is cut off', async () => {
  const values = Array.from({ length: 2_000 }, (_, value) => ({ name: 'many', value }))
  const sampler = new Sampler({
    sources: [{ name: 'many', read: () => Promise.resolve(values) }],
    clock: new FlowingClock(),
  })
  expect((await sampler.sample()).length).toBe(512)
})
