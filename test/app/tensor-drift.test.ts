/** What the agent makes of the data plane's sketches: what numbers were like since it looked last. */
import { expect, test } from 'bun:test'
import { TensorDrift } from '../../src/app/agent/tensor-drift.ts'
import { sketchFamilies } from '../../src/app/sketches.ts'
import { Sketches } from '../../src/capture/sketches.ts'
import { writeFamilies } from '../../src/kit/metrics-text.ts'

const begin = () =>
  new Sketches({ percentOf: () => 100, random: { fraction: () => 0, bytes: () => new Uint8Array(0) } })

/** The data plane as its metrics show it, and who reads them. */
function stageDrift() {
  let sketches = begin()
  const drift = new TensorDrift({
    readMetrics: () => Promise.resolve(writeFamilies(sketchFamilies(sketches))),
  })
  const ask = (values: readonly number[], version = '1', outputs: readonly string[] = []) => {
    const bytes = new Uint8Array(Float64Array.from(values).buffer)
    const tensor = (name: string) => ({ name, datatype: 'FP64', shape: [values.length], bytes }) as const
    sketches.add({ model: 'scale', version }, { inputs: [tensor('X')], outputs: outputs.map(tensor) })
  }
  const read = async () =>
    (await drift.read()).map(({ name, labels, value }) => `${labels?.['version']} ${name} ${value}`)
  return { ask, read, drift, restart: () => (sketches = begin()) }
}

test('mean, deviation and share of what is not finite are those since the reading before', async () => {
  const { ask, read } = stageDrift()
  ask([1, 3])
  expect(await read()).toEqual(['1 tensor_not_finite_percent 0', '1 tensor_mean 2', '1 tensor_deviation 1'])
  ask([100, 104, Number.NaN, Number.POSITIVE_INFINITY])
  expect(await read()).toEqual([
    '1 tensor_not_finite_percent 50',
    '1 tensor_mean 102',
    '1 tensor_deviation 2',
  ])
  expect(await read()).toEqual([])
})

test('each version and tensor has its own, by name', async () => {
  const { ask, drift } = stageDrift()
  ask([1])
  ask([5], '2')
  expect((await drift.read()).filter(({ name }) => name === 'tensor_mean')).toEqual([
    {
      name: 'tensor_mean',
      value: 1,
      labels: { model: 'scale', version: '1', direction: 'input', tensor: 'X' },
    },
    {
      name: 'tensor_mean',
      value: 5,
      labels: { model: 'scale', version: '2', direction: 'input', tensor: 'X' },
    },
  ])
})

test('another run of the data plane counts from nothing', async () => {
  const { ask, read, restart } = stageDrift()
  ask([1, 3, 5])
  await read()
  restart()
  ask([7])
  expect(await read()).toEqual(['1 tensor_not_finite_percent 0', '1 tensor_mean 7', '1 tensor_deviation 0'])
})

test('one that does not answer measures nothing', async () => {
  expect(await new TensorDrift({ readMetrics: () => Promise.resolve(undefined) }).read()).toEqual([])
})

test('of more than 32 tensors the first 32 are told', async () => {
  const { ask, read } = stageDrift()
  for (let version = 0; version < 20; version += 1) ask([1], String(version), ['Y'])
  expect((await read()).length).toBe(32 * 3)
})
