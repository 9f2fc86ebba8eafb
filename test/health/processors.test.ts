import { expect, test } from 'bun:test'
import { Processors } from '../../src/health/processors.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { FakeClock } from '../kit/fake-clock.ts'

const MEMINFO = 'MemTotal:        8000 kB\nMemFree:          100 kB\nMemAvailable:    6000 kB\n'

function stage(stats: string[]) {
  const clock = new FakeClock()
  const read = (path: string) => Promise.resolve(path === '/proc/stat' ? (stats.shift() ?? '') : MEMINFO)
  return { clock, processors: new Processors(clock, read) }
}

test('utilization is what was not idle between two looks', async () => {
  const { clock, processors } = stage([
    'cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n',
    'cpu  160 0 115 710 115 0 0 0 0 0\n',
  ])
  expect(await processors.sample()).toEqual({
    utilization: 0,
    memoryBytesTotal: 8_192_000,
    memoryBytesUsed: 2_048_000,
  })
  clock.advance(5000)
  expect((await processors.sample())?.utilization).toBe(0.75)
})

test('two looks at once give the same answer, not a look at each other', async () => {
  const { clock, processors } = stage(['cpu  0 0 0 100 0', 'cpu  50 0 0 150 0', 'cpu  51 0 0 150 0'])
  await processors.sample()
  clock.advance(1000)
  expect((await processors.sample())?.utilization).toBe(0.5)
  clock.advance(10)
  expect((await processors.sample())?.utilization).toBe(0.5)
})

test('counters that go back are no utilization', async () => {
  const { clock, processors } = stage(['cpu  500 0 0 500 0', 'cpu  1 0 0 1 0'])
  await processors.sample()
  clock.advance(1000)
  expect((await processors.sample())?.utilization).toBe(0)
})

test('a machine without /proc has no sample', async () => {
  const processors = new Processors(new FakeClock(), () => Promise.reject(new Error('ENOENT')))
  expect(await processors.sample()).toBeUndefined()
})

test('this machine has some memory and uses some of it', async () => {
  const sample = await new Processors(systemClock).sample()
  expect(sample?.memoryBytesTotal).toBeGreaterThan(sample?.memoryBytesUsed ?? Number.POSITIVE_INFINITY)
  expect(sample?.memoryBytesUsed).toBeGreaterThan(0)
})
