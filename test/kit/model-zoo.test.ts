import { describe, expect, test } from 'bun:test'
import { onnx } from 'onnx-proto'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import * as zoo from './model-zoo.ts'

const elementTypes = Object.keys(zoo.ELEMENT_TYPES) as zoo.ElementType[]

type Feeds = Record<string, Tensor>

/** What it logs here is what the tests are about. */
const QUIET = { logSeverityLevel: 4 } as const

async function runModel(model: Uint8Array, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(model, QUIET)
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

function floats(values: readonly number[]): Tensor {
  return new Tensor('float32', values, [values.length])
}

describe('identity gives back what it is given', () => {
  const given: readonly (readonly [zoo.ElementType, Tensor])[] = [
    ['FLOAT', floats([0.5, -1])],
    ['UINT8', new Tensor('uint8', [0, 255], [2])],
    ['INT8', new Tensor('int8', [-128, 127], [2])],
    ['UINT16', new Tensor('uint16', [0, 65_535], [2])],
    ['INT16', new Tensor('int16', [-32_768, 32_767], [2])],
    ['INT32', new Tensor('int32', [-1, 2], [2])],
    ['INT64', new Tensor('int64', [-(2n ** 63n), 2n ** 63n - 1n], [2])],
    ['STRING', new Tensor('string', ['', 'straße'], [2])],
    ['BOOL', new Tensor('bool', [true, false], [2])],
    ['DOUBLE', new Tensor('float64', [0.1, -1e300], [2])],
    ['UINT32', new Tensor('uint32', [0, 4_294_967_295], [2])],
    ['UINT64', new Tensor('uint64', [0n, 2n ** 64n - 1n], [2])],
  ]
  test.each(given)('%s', async (type, tensor) => {
    const { OUTPUT0 } = await runModel(zoo.identity(type), { INPUT0: tensor })
    expect(OUTPUT0?.type).toBe(tensor.type)
    expect(OUTPUT0?.dims).toEqual([2])
    expect(OUTPUT0?.data).toEqual(tensor.data)
  })

  /** Most of these onnxruntime-node does not know, and Bun's Float16Array it sees as empty: no run can show them. */
  const unknown = elementTypes.filter((type) => !given.some(([known]) => known === type))
  test.each(unknown)('%s, as far as it can be read', (type) => {
    const { graph } = onnx.ModelProto.decode(zoo.identity(type))
    expect(graph?.input?.[0]?.type?.tensorType?.elemType).toBe(zoo.ELEMENT_TYPES[type])
    expect(graph?.output?.[0]?.type?.tensorType?.elemType).toBe(zoo.ELEMENT_TYPES[type])
  })

  test('a scalar', async () => {
    const { OUTPUT0 } = await runModel(zoo.identity('INT32', []), { INPUT0: new Tensor('int32', [7], []) })
    expect(OUTPUT0?.dims).toEqual([])
    expect(OUTPUT0?.data).toEqual(Int32Array.of(7))
  })
})

test('simple adds and subtracts', async () => {
  const INPUT0 = new Tensor(
    'int32',
    Int32Array.from({ length: 16 }, (_, index) => index),
    [1, 16],
  )
  const INPUT1 = new Tensor('int32', new Int32Array(16).fill(1), [1, 16])
  const { OUTPUT0, OUTPUT1 } = await runModel(zoo.simple(), { INPUT0, INPUT1 })
  expect(OUTPUT0?.data[15]).toBe(16)
  expect(OUTPUT1?.data[15]).toBe(14)
})

test('stringIdentity takes strings', async () => {
  const INPUT0 = new Tensor('string', ['a', 'b'], [2])
  expect((await runModel(zoo.stringIdentity(), { INPUT0 }))['OUTPUT0']?.data).toEqual(['a', 'b'])
})

test('optionalInput runs without its second input', async () => {
  const { OUTPUT0 } = await runModel(zoo.optionalInput(), { INPUT0: floats([1, 2]) })
  expect(OUTPUT0?.data).toEqual(Float32Array.of(1.5, 2.5))
})

/** onnxruntime-node leaves out what it is given for such an input, so no run can show it. */
test('optionalInput names its default among the inputs', () => {
  const { graph } = onnx.ModelProto.decode(zoo.optionalInput())
  expect(graph?.input?.map(({ name }) => name)).toEqual(['INPUT0', 'BIAS'])
  expect(graph?.initializer?.map(({ name }) => name)).toEqual(['BIAS'])
})

/** onnxruntime-node loads these two and refuses the run, once it has been made: it takes tensors only. */
describe.each([
  ['sequenceOutput', zoo.sequenceOutput(), ['OUTPUT0']],
  ['mapOutput', zoo.mapOutput(), ['OUTPUT0', 'OUTPUT1']],
] as const)('%s', (_, model, outputs) => {
  const INPUT0 = new Tensor('float32', [0.1, 0.2, 0.7, 0.6, 0.3, 0.1], [2, 3])

  test('loads and has an output that is no tensor', async () => {
    const session = await InferenceSession.create(model, QUIET)
    expect(session.outputNames).toEqual(outputs)
    expect(session.outputMetadata.at(-1)?.isTensor).toBe(false)
    await session.release()
  })

  test('cannot be run whole here', async () => {
    await expect(runModel(model, { INPUT0 })).rejects.toThrow('Non tensor type')
  })
})

test('mapOutput can be asked for its tensor alone', async () => {
  const session = await InferenceSession.create(zoo.mapOutput(), QUIET)
  const INPUT0 = new Tensor('float32', [0.1, 0.2, 0.7, 0.6, 0.3, 0.1], [2, 3])
  const { OUTPUT0 } = await session.run({ INPUT0 }, ['OUTPUT0'])
  expect(OUTPUT0?.data).toEqual(BigInt64Array.of(2n, 0n))
  await session.release()
})

test('slow takes the longer the more it is asked for', async () => {
  const session = await InferenceSession.create(zoo.slow(), { ...QUIET, intraOpNumThreads: 1 })
  const timeRun = async (times: bigint): Promise<number> => {
    const begun = performance.now()
    const { OUTPUT0 } = await session.run({ INPUT0: new Tensor('int64', [times], [1]) })
    expect(OUTPUT0?.data[0]).toBeCloseTo(1 / 256, 6)
    return performance.now() - begun
  }
  expect(await timeRun(300n)).toBeGreaterThan(5 * (await timeRun(1n)))
  await session.release()
})

test('withMetadata describes itself', async () => {
  const model = onnx.ModelProto.decode(zoo.withMetadata())
  expect(model.toJSON()).toMatchObject({
    producerName: 'model-zoo',
    producerVersion: '1.2.3',
    domain: 'test.zoo',
    docString: 'An identity that describes itself',
    graph: { name: 'described_graph', docString: 'A graph with one node' },
    metadataProps: [
      { key: 'author', value: 'Zoë' },
      { key: 'labels', value: '["cat","dog"]' },
    ],
  })
  expect(Number(model.modelVersion)).toBe(7)
  const { OUTPUT0 } = await runModel(zoo.withMetadata(), { INPUT0: floats([3]) })
  expect(OUTPUT0?.data).toEqual(Float32Array.of(3))
})

test('failsOnIndex fails in the run, not before', async () => {
  const ask = (place: bigint) => runModel(zoo.failsOnIndex(), { INPUT0: new Tensor('int64', [place], [1]) })
  expect((await ask(2n))['OUTPUT0']?.data).toEqual(Float32Array.of(30))
  await expect(ask(3n)).rejects.toThrow('out of data bounds')
})

test('divide gives what JSON cannot say', async () => {
  const { OUTPUT0 } = await runModel(zoo.divide(), { INPUT0: floats([1, -1, 0]), INPUT1: floats([0, 0, 0]) })
  // By value: two NaN may differ in their bits.
  expect([...(OUTPUT0?.data ?? [])]).toEqual([Infinity, -Infinity, Number.NaN])
})

test('mixed gives each input back', async () => {
  const feeds: Feeds = {
    INPUT0: new Tensor('float32', [1, 2, 3], [1, 3]),
    INPUT1: new Tensor('int64', [4n, 5n], [2]),
    INPUT2: new Tensor('string', ['six', 'seven'], [1, 2]),
    INPUT3: new Tensor('bool', [true], [1]),
    INPUT4: new Tensor('uint8', [8, 9], [1, 1, 2]),
    INPUT5: new Tensor('float64', [10], []),
  }
  const given = await runModel(zoo.mixed(), feeds)
  for (const [name, tensor] of Object.entries(feeds)) {
    const output = given[name.replace('INPUT', 'OUTPUT')]
    expect(output?.dims).toEqual(tensor.dims)
    expect(output?.data).toEqual(tensor.data)
  }
})
