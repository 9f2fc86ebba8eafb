/** ONNX Runtime through src/runtime: every type, every kind of failure, threads, cancelling. In this process. */
import { afterAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Session, SessionOptions, Tensor } from '../../src/runtime/backend.ts'
import { byteLength, DATATYPES, type Datatype } from '../../src/runtime/datatypes.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SEED } from '../kit/seed.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2 })
afterAll(() => backend.stop())

async function withSession<T>(
  model: Uint8Array,
  use: (session: Session) => Promise<T>,
  options: Partial<SessionOptions> = {},
): Promise<T> {
  const session = await backend.load({ bytes: model }, { ...SESSION_OPTIONS, ...options })
  try {
    return await use(session)
  } finally {
    await session.close()
  }
}

interface Outcome extends Omit<Tensor, 'bytes'> {
  readonly bytes: number[]
}

/** On a thread and in line: both have to say the same. */
async function runBoth(session: Session, inputs: Tensor[], outputs?: string[]): Promise<Outcome[]> {
  const request = { inputs, outputs: outputs ?? session.signature.outputs.map(({ name }) => name) }
  const onThread = await session.run(request)
  const first = onThread.outputs.map((output) => ({ ...output, bytes: [...output.bytes] }))
  onThread.release()
  const inLine = session.runInline(request)
  const second = inLine.outputs.map((output) => ({ ...output, bytes: [...output.bytes] }))
  inLine.release()
  expect(second).toEqual(first)
  return first
}

function tensor(
  name: string,
  datatype: Datatype,
  shape: number[],
  bytes: ArrayLike<number> | ArrayBufferView,
): Tensor {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : Uint8Array.from(bytes)
  return { name, datatype, shape, bytes: view }
}

const strings = (...texts: (string | Uint8Array)[]) =>
  texts.flatMap((text) => {
    const bytes = Buffer.from(text as string)
    return [bytes.length & 255, bytes.length >> 8, 0, 0, ...bytes]
  })

const ORT_NAMES: Partial<Record<Datatype, zoo.ElementType>> = {
  FP32: 'FLOAT',
  UINT8: 'UINT8',
  INT8: 'INT8',
  UINT16: 'UINT16',
  INT16: 'INT16',
  INT32: 'INT32',
  INT64: 'INT64',
  BOOL: 'BOOL',
  FP16: 'FLOAT16',
  FP64: 'DOUBLE',
  UINT32: 'UINT32',
  UINT64: 'UINT64',
  BF16: 'BFLOAT16',
  FP8E4M3FN: 'FLOAT8E4M3FN',
  FP8E4M3FNUZ: 'FLOAT8E4M3FNUZ',
  FP8E5M2: 'FLOAT8E5M2',
  FP8E5M2FNUZ: 'FLOAT8E5M2FNUZ',
  UINT4: 'UINT4',
  INT4: 'INT4',
}

describe.each(Object.entries(ORT_NAMES))('%s', (datatype, ortName) => {
  const name = datatype as Datatype
  test('every bit pattern comes back as it went in', () =>
    withSession(zoo.identity(ortName), async (session) => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 40 }),
          fc.infiniteStream(fc.nat(255)),
          async (elements, random) => {
            const length = byteLength(name, elements)
            const bytes = [...random.take(length)].map((byte) => (name === 'BOOL' ? byte & 1 : byte))
            // The unused half of the last byte belongs to nobody.
            if (DATATYPES[name].bits === 4 && elements % 2 === 1)
              bytes[length - 1] = (bytes[length - 1] ?? 0) & 0x0f
            const [output] = await runBoth(session, [tensor('INPUT0', name, [elements], bytes)])
            expect(output).toEqual({ name: 'OUTPUT0', datatype: name, shape: [elements], bytes })
          },
        ),
        { seed: SEED, numRuns: 30 },
      )
    }))

  test('a scalar has the empty shape', () =>
    withSession(zoo.identity(ortName, []), async (session) => {
      expect(session.signature.inputs[0]?.shape).toEqual([])
      const bytes = Array.from({ length: byteLength(name, 1) }, () => 1)
      const [output] = await runBoth(session, [tensor('INPUT0', name, [], bytes)])
      expect(output).toEqual({ name: 'OUTPUT0', datatype: name, shape: [], bytes })
    }))
})

describe('strings', () => {
  test('any bytes survive: zeros, no UTF-8, nothing at all', () =>
    withSession(zoo.stringIdentity(), async (session) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }), async (elements) => {
          const bytes = strings(...elements)
          const [output] = await runBoth(session, [tensor('INPUT0', 'BYTES', [elements.length], bytes)])
          expect(output).toEqual({ name: 'OUTPUT0', datatype: 'BYTES', shape: [elements.length], bytes })
        }),
        { seed: SEED, numRuns: 50 },
      )
    }))

  test.each([
    ['ends beyond', [9, 0, 0, 0, 65]],
    ['for their lengths', [1, 0]],
    ['left over', [...strings('a'), 1]],
  ])('bytes that are not what they say are refused: %s', (what, bytes) =>
    withSession(zoo.stringIdentity(), async (session) => {
      const request = { inputs: [tensor('INPUT0', 'BYTES', [1], bytes)], outputs: ['OUTPUT0'] }
      await expect(session.run(request)).rejects.toThrow(what)
      expect((await runBoth(session, [tensor('INPUT0', 'BYTES', [1], strings('a'))]))[0]?.bytes).toEqual(
        strings('a'),
      )
    }),
  )
})

describe('signature', () => {
  test('tells names, types, shapes and the names of open dimensions', () =>
    withSession(zoo.mixed(), async ({ signature }) => {
      expect(signature.inputs.map(({ datatype, shape, symbols }) => [datatype, shape, symbols])).toEqual([
        ['FP32', [-1, 3], ['batch', '']],
        ['INT64', [2], ['']],
        ['BYTES', [-1, -1], ['batch', 'words']],
        ['BOOL', [-1], ['flags']],
        ['UINT8', [1, -1, -1], ['', 'height', 'width']],
        ['FP64', [], []],
      ])
    }))

  test('an input that the model has a value for is optional', () =>
    withSession(zoo.optionalInput(), async (session) => {
      expect(session.signature.inputs.map(({ name, isOptional }) => [name, isOptional])).toEqual([
        ['INPUT0', false],
        ['BIAS', true],
      ])
      const input = tensor('INPUT0', 'FP32', [2], Float32Array.from([1, 2]))
      const bias = tensor('BIAS', 'FP32', [1], Float32Array.from([10]))
      const values = async (inputs: Tensor[]) =>
        new Float32Array(Uint8Array.from((await runBoth(session, inputs))[0]?.bytes ?? []).buffer)
      expect([...(await values([input]))]).toEqual([1.5, 2.5])
      expect([...(await values([input, bias]))]).toEqual([11, 12])
    }))

  test.each([
    ['sequence', zoo.sequenceOutput],
    ['sequence', zoo.mapOutput],
  ])('an output that is a %s is listed as one that cannot be answered', (kind, model) =>
    withSession(model(), async ({ signature }) => {
      expect(signature.unsupportedOutputs.map((output) => output.kind)).toContain(kind)
    }),
  )

  test('metadata of the model is read; a version that is not there is undefined', async () => {
    const metadata = await withSession(zoo.withMetadata(), async (session) => session.metadata)
    expect(metadata.version).toBe(7)
    expect(metadata.producer).not.toBe('')
    expect(Object.keys(metadata.custom).length).toBe(2)
    expect((await withSession(zoo.simple(), async (session) => session.metadata)).version).toBeUndefined()
  })
})

describe('session options', () => {
  test.each<Partial<SessionOptions>>([
    { threadsIntraOp: 2, threadsInterOp: 2, executionMode: 'parallel' },
    { graphOptimization: 'none' },
    { graphOptimization: 'basic' },
    { graphOptimization: 'extended' },
    { memoryArena: false, memoryPattern: false },
    { configEntries: { 'session.disable_prepacking': '1' } },
  ])('%p', (options) =>
    withSession(zoo.simple(), async (session) => expect(await addUp(session)).toEqual([3, -1]), options),
  )

  test('a free dimension can be fixed', () =>
    withSession(zoo.simple(), async ({ signature }) => expect(signature.inputs[0]?.shape).toEqual([4, 16]), {
      freeDimensions: { batch: 4 },
    }))

  test.each([
    ['that the library does not have', { name: 'openvino', options: {} }, /openvino.*CPUExecutionProvider/],
    [
      'whose own library is not there',
      { name: 'cuda', options: { device_id: '0' } },
      /libonnxruntime_providers_(shared|cuda)/,
    ],
  ])('a provider %s is passed over, with the reason, and the processor runs the model', (_, provider, says) =>
    withSession(
      zoo.simple(),
      async (session) => {
        expect(session.providers).toEqual(['CPUExecutionProvider'])
        expect(session.refusals).toEqual([{ provider: provider.name, reason: expect.stringMatching(says) }])
        expect(await addUp(session)).toEqual([3, -1])
      },
      { providers: [provider] },
    ),
  )

  test('a model that no provider takes is refused with what the processor says of it', async () => {
    const options = { ...SESSION_OPTIONS, providers: [{ name: 'cuda', options: {} }] }
    const load = backend.load({ bytes: new Uint8Array(0) }, options)
    await expect(load).rejects.toMatchObject({ code: 'model_invalid' })
    await expect(load).rejects.not.toThrow(/libonnxruntime_providers/)
  })
})

describe('failures', () => {
  test.each([
    ['empty', new Uint8Array(0)],
    ['random bytes', Uint8Array.from({ length: 400 }, (_, index) => (index * 197) % 251)],
    ['cut short', zoo.simple().slice(0, 60)],
  ])('a model that is %s is refused', async (_, bytes) => {
    const load = backend.load({ bytes }, SESSION_OPTIONS)
    await expect(load).rejects.toBeInstanceOf(EdgeError)
    await expect(load).rejects.toMatchObject({ code: 'model_invalid' })
  })

  test('a file that is not there is named', async () => {
    await expect(backend.load({ path: '/nowhere/model.onnx' }, SESSION_OPTIONS)).rejects.toThrow(
      '/nowhere/model.onnx',
    )
  })

  test('what a kernel refuses is the fault of the input, and the session goes on', () =>
    withSession(zoo.failsOnIndex(), async (session) => {
      const indices = (...values: bigint[]) =>
        session.signature.inputs.map(({ name, datatype }) =>
          tensor(name, datatype, [values.length], BigInt64Array.from(values)),
        )
      const { outputs } = session.signature
      const run = (inputs: Tensor[]) => session.run({ inputs, outputs: outputs.map(({ name }) => name) })
      await expect(run(indices(1_000_000n))).rejects.toMatchObject({ code: 'input_invalid' })
      await runBoth(session, indices(0n))
    }))
})

describe('cancelling', () => {
  test(
    'a run that is under way ends soon after the signal, and the session is as before',
    () =>
      withSession(zoo.slow(), async (session) => {
        const input = (trips: bigint) => [tensor('INPUT0', 'INT64', [1], BigInt64Array.of(trips))]
        const abort = new AbortController()
        const cancelled = session.run({
          inputs: input(1_000_000n),
          outputs: ['OUTPUT0'],
          signal: abort.signal,
        })
        setTimeout(() => abort.abort(), 20)
        await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' })
        await runBoth(session, input(2n))
      }),
    30_000,
  )

  test('a signal that has fired keeps the run from starting', () =>
    withSession(zoo.simple(), async (session) => {
      await expect(
        session.run({ inputs: [], outputs: [], signal: AbortSignal.abort() }),
      ).rejects.toMatchObject({
        code: 'cancelled',
      })
    }))
})

test('many runs at once on two threads each get their own answer', () =>
  withSession(zoo.simple(), async (session) => {
    const answers = await Promise.all(Array.from({ length: 2_000 }, (_, index) => addUp(session, index)))
    expect(answers).toEqual(Array.from({ length: 2_000 }, (_, index) => [index + 2, index - 2]))
  }))

test('inputs that lie on odd addresses are read right', () =>
  withSession(zoo.identity('DOUBLE'), async (session) => {
    const count = 5_000
    const values = Float64Array.from({ length: count }, (_, index) => index / 3)
    const shifted = new Uint8Array(new ArrayBuffer(count * 8 + 3), 3)
    shifted.set(new Uint8Array(values.buffer))
    const [output] = await runBoth(session, [
      { name: 'INPUT0', datatype: 'FP64', shape: [count], bytes: shifted },
    ])
    expect(output?.bytes).toEqual([...new Uint8Array(values.buffer)])
  }))

/** First elements of sum and difference of (1 + add) and 2. */
async function addUp(session: Session, first = 1): Promise<number[]> {
  const row = (value: number) => Int32Array.from({ length: 16 }, () => value)
  const inputs = [tensor('INPUT0', 'INT32', [1, 16], row(first)), tensor('INPUT1', 'INT32', [1, 16], row(2))]
  const result = await session.run({ inputs, outputs: ['OUTPUT0', 'OUTPUT1'] })
  const answer = result.outputs.map(({ bytes }) => new Int32Array(bytes.slice().buffer)[0] ?? Number.NaN)
  result.release()
  return answer
}
