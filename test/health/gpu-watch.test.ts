/** GPUs by NVIDIA's library, with a fake of it: what it says, what it does not know, and when it hangs. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { GpuWatch } from '../../src/health/gpu-watch.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { createFolder } from '../kit/binary.ts'
import { buildFakeNvml, HAS_COMPILER } from '../kit/fake-nvml.ts'

const folder = await createFolder()
const watches: GpuWatch[] = []

beforeAll(() => setLogLevel('silent'))
afterAll(async () => {
  setLogLevel('info')
  for (const watch of watches) watch.stop()
  await folder.remove()
})

function watchWith(library: string, clock = systemClock) {
  const watch = new GpuWatch({ library, clock })
  watches.push(watch)
  return watch
}

const withCompiler = test.skipIf(!HAS_COMPILER)

withCompiler('each GPU says what it knows, in the units of the metrics', async () => {
  const { path } = await buildFakeNvml(join(folder.path, 'good'))
  const watch = watchWith(path)
  const samples = await watch.sample()
  expect(samples).toEqual([
    {
      uuid: 'GPU-first',
      utilization: 0.37,
      memoryBytesTotal: 8e9,
      memoryBytesUsed: 3e9,
      powerWatts: 45.5,
      powerLimitWatts: 70,
      energyJoules: 123.456,
      temperatureCelsius: 61,
      clockHertz: 1.41e9,
      throttleReasons: 0x24n,
    },
    {
      uuid: 'GPU-second',
      utilization: undefined,
      memoryBytesTotal: undefined,
      memoryBytesUsed: undefined,
      powerWatts: undefined,
      powerLimitWatts: undefined,
      energyJoules: undefined,
      temperatureCelsius: undefined,
      clockHertz: undefined,
      throttleReasons: undefined,
    },
  ])
  expect(await watch.sample()).toEqual(samples)
  expect(watch.problem).toBeUndefined()
})

test('without the library there are none, and the reason is known', async () => {
  const watch = watchWith('libnvidia-that-is-not-there.so.1')
  expect(await watch.sample()).toEqual([])
  expect(watch.problem).toContain('Cannot open "libnvidia-that-is-not-there.so.1"')
  expect(await watch.sample()).toEqual([])
})

withCompiler('a library that does not start says its code', async () => {
  const { path } = await buildFakeNvml(join(folder.path, 'refuses'), { initCode: 9 })
  const watch = watchWith(path)
  expect(await watch.sample()).toEqual([])
  expect(watch.problem).toContain('nvmlInit_v2 says 9')
})

withCompiler('a driver that hangs costs one wait, and nobody after that', async () => {
  const { path } = await buildFakeNvml(join(folder.path, 'hangs'), { hangs: true })
  const never = new Promise<void>(() => undefined)
  const sleeps = [Promise.resolve()]
  const watch = watchWith(path, { ...systemClock, sleep: () => sleeps.shift() ?? never })
  expect(await watch.sample()).toEqual([])
  expect(watch.problem).toBe('no answer within 1000 ms')
  // This one would wait for ever.
  expect(await watch.sample()).toEqual([])
})
