/** Runs on a device with memory of its own, in which each byte is another one: what is not copied there and back is wrong. */

import { dlopen } from 'bun:ffi'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { RunResult, Session, SessionOptions, Tensor } from '../../src/runtime/backend.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SEED } from '../kit/seed.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

const folder = await mkdtemp(join(tmpdir(), 'limpet-device-'))
const record = join(folder, 'record')

const ints = (name: string, shape: number[], values: (index: number) => number): Tensor => {
  const count = shape.reduce((product, size) => product * size, 1)
  const bytes = new Uint8Array(Int32Array.from({ length: count }, (_, index) => values(index)).buffer)
  return { name, datatype: 'INT32', shape, bytes }
}
const rows = (batch: number, a: number, b: number) => [
  ints('INPUT0', [batch, 16], (index) => a + index),
  ints('INPUT1', [batch, 16], () => b),
]
const floats = (name: string, ...values: number[]): Tensor => {
  return {
    name,
    datatype: 'FP32',
    shape: [values.length],
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  }
}

/** What came, as plain numbers; gives the result back. */
function take({
  outputs,
  release,
}: RunResult): { name: string; shape: readonly number[]; values: number[] }[] {
  const list = outputs.map(({ name, shape, datatype, bytes }) => {
    const { buffer } = bytes.slice()
    return {
      name,
      shape,
      values: [...(datatype === 'FP32' ? new Float32Array(buffer) : new Int32Array(buffer))],
    }
  })
  release()
  return list
}

/** What is copied from where to where, and how many tensors at once, since the last time that somebody asked. */
async function copies(): Promise<string[]> {
  const lines = (await readFile(record, 'utf8')).split('\n').filter((line) => line.includes('>'))
  await writeFile(record, '')
  return lines
}

describe.skipIf(WITHOUT_COMPILER !== '')(`on a device${WITHOUT_COMPILER}`, () => {
  let backend: OrtBackend
  let live: () => number
  beforeAll(async () => {
    setLogLevel('silent')
    // ONNX Runtime tells the devices of two providers apart by their names, in all tests of this process.
    const pinned = await buildFakeProvider(join(folder, 'pinned'), {
      memory: 'own and pinned',
      name: 'PinnedExecutionProvider',
    })
    const plain = await buildFakeProvider(join(folder, 'plain'), {
      memory: 'own',
      name: 'PlainExecutionProvider',
    })
    const providerLibraries = [
      { name: 'device-pinned', path: pinned },
      { name: 'device-plain', path: plain },
    ]
    const graph = { memory: 'own and pinned', name: 'CUDAExecutionProvider' } as const
    providerLibraries.push({
      name: 'device-graph',
      path: await buildFakeProvider(join(folder, 'graph'), graph),
    })
    backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2, providerLibraries })
    const library = dlopen(pinned, { fake_live: { args: [], returns: 'i64' } })
    live = () => Number(library.symbols.fake_live())
  })
  afterAll(async () => {
    await backend.stop()
    setLogLevel('info')
    await rm(folder, { recursive: true })
  })

  async function withSession(
    model: Uint8Array,
    use: (session: Session) => Promise<void>,
    more: { name?: string; options?: Partial<SessionOptions> } = {},
  ): Promise<void> {
    await writeFile(record, '')
    const providers = [{ name: more.name ?? 'device-pinned', options: { record } }]
    const session = await backend.load({ bytes: model }, { ...SESSION_OPTIONS, ...more.options, providers })
    try {
      expect(session.refusals).toEqual([])
      await copies()
      await use(session)
    } finally {
      await session.close()
    }
  }

  const expected = (batch: number, a: number, b: number) => [
    { name: 'OUTPUT0', shape: [batch, 16], values: Array.from({ length: batch * 16 }, (_, i) => a + i + b) },
    { name: 'OUTPUT1', shape: [batch, 16], values: Array.from({ length: batch * 16 }, (_, i) => a + i - b) },
  ]
  const BOTH = ['OUTPUT0', 'OUTPUT1']

  test('each tensor crosses once each way, from memory and into memory that the device reads itself', () =>
    withSession(zoo.simple(), async (session) => {
      expect(take(await session.run({ inputs: rows(2, 1, 5), outputs: BOTH }))).toEqual(expected(2, 1, 5))
      expect(await copies()).toEqual(['pinned>device 2', 'device>pinned 2'])
      expect(take(session.runInline({ inputs: rows(1, 7, 3), outputs: BOTH }))).toEqual(expected(1, 7, 3))
      expect(await copies()).toEqual(['pinned>device 2', 'device>pinned 2'])
      const [sum] = expected(2, 1, 5)
      expect(take(await session.run({ inputs: rows(2, 1, 5), outputs: ['OUTPUT0'] }))).toEqual([sum as never])
      expect(await copies()).toEqual(['pinned>device 2', 'device>pinned 1'])
    }))

  test('a device without such memory gets it from plain memory', () =>
    withSession(
      zoo.simple(),
      async (session) => {
        expect(take(await session.run({ inputs: rows(3, 2, 9), outputs: BOTH }))).toEqual(expected(3, 2, 9))
        expect(await copies()).toEqual(['host>device 2', 'device>host 2'])
      },
      { name: 'device-plain' },
    ))

  test('without binding ONNX Runtime copies itself, to the same answers', () =>
    withSession(
      zoo.simple(),
      async (session) => {
        expect(take(await session.run({ inputs: rows(3, 2, 9), outputs: BOTH }))).toEqual(expected(3, 2, 9))
        expect(await copies()).toEqual(['host>device 2', 'device>host 2'])
      },
      { options: { gpu: { precision: ['fp32'], shapes: {}, bindsMemory: false } } },
    ))

  test('whatever shapes come after one another, each gets its own answer', () =>
    withSession(zoo.simple(), async (session) => {
      const request = fc.record({
        batch: fc.nat({ max: 70 }),
        a: fc.integer({ min: -99, max: 99 }),
        b: fc.nat(99),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 8 }), async (list) => {
          for (const { batch, a, b } of list) {
            const answer = await session.run({ inputs: rows(batch, a, b), outputs: BOTH })
            expect(take(answer)).toEqual(expected(batch, a, b))
          }
        }),
        { seed: SEED, numRuns: 30 },
      )
    }))

  test('an input that was there the last time may be left out this time', () =>
    withSession(zoo.optionalInput(0.5), async (session) => {
      const run = async (...inputs: Tensor[]) =>
        take(await session.run({ inputs, outputs: ['OUTPUT0'] }))[0]?.values
      expect(await run(floats('INPUT0', 1, 2))).toEqual([1.5, 2.5])
      expect(await run(floats('INPUT0', 1, 2), floats('BIAS', 10))).toEqual([11, 12])
      expect(await run(floats('INPUT0', 1, 2))).toEqual([1.5, 2.5])
      expect(await run(floats('BIAS', 20), floats('INPUT0', 1, 2, 3))).toEqual([21, 22, 23])
      expect(await run(floats('INPUT0', 4))).toEqual([4.5])
    }))

  test('an input that is missing is missed, though it was there the last time', () =>
    withSession(zoo.simple(), async (session) => {
      take(await session.run({ inputs: rows(1, 1, 5), outputs: BOTH }))
      await expect(session.run({ inputs: rows(1, 1, 5).slice(1), outputs: BOTH })).rejects.toThrow()
      expect(take(await session.run({ inputs: rows(1, 2, 5).reverse(), outputs: BOTH }))).toEqual(
        expected(1, 2, 5),
      )
    }))

  test('many runs at once each get their own answer, also while others keep theirs', () =>
    withSession(zoo.simple(), async (session) => {
      const results = await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          session.run({ inputs: rows(1 + (index % 3), index, 2), outputs: BOTH }),
        ),
      )
      for (const [index, result] of results.entries())
        expect(take(result)).toEqual(expected(1 + (index % 3), index, 2))
    }))

  test('a run that fails leaves the session able to go on', () =>
    withSession(zoo.simple(), async (session) => {
      const clash = [...rows(2, 1, 1).slice(0, 1), ...rows(3, 1, 1).slice(1)]
      await expect(session.run({ inputs: clash, outputs: BOTH })).rejects.toThrow(/do not fit together/)
      expect(take(await session.run({ inputs: rows(1, 1, 1), outputs: BOTH }))).toEqual(expected(1, 1, 1))
    }))

  test('what was taken of the device and of its host memory is given back with the session', async () => {
    const before = live()
    await withSession(zoo.simple(), async (session) => {
      for (const batch of [1, 40, 3]) take(await session.run({ inputs: rows(batch, 1, 1), outputs: BOTH }))
      expect(live()).toBeGreaterThan(before)
      const held = live()
      for (let run = 0; run < 20; run += 1) take(await session.run({ inputs: rows(3, 1, 1), outputs: BOTH }))
      expect(live()).toBe(held)
    })
    expect(live()).toBe(before)
  })

  describe('with a graph that plays on the addresses of its first run', () => {
    const GRAPH: Partial<SessionOptions> = {
      gpu: { precision: ['fp32'], shapes: {}, cudaGraph: true },
      freeDimensions: { batch: 2 },
    }
    const graph = { name: 'device-graph', options: GRAPH }

    test('each run gets its own answer, also while others keep theirs', () =>
      withSession(
        zoo.simple(),
        async (session) => {
          expect(session.runsMax).toBe(1)
          const run = (a: number) => session.run({ inputs: rows(2, a, 3), outputs: BOTH })
          expect(take(await run(1))).toEqual(expected(2, 1, 3))
          expect(await copies()).toEqual(['pinned>device 2', 'device>pinned 2'])
          const results = await Promise.all(Array.from({ length: 20 }, (_, index) => run(index)))
          for (const [index, result] of results.entries()) expect(take(result)).toEqual(expected(2, index, 3))
          const swapped = rows(2, 7, 3).reverse()
          const some = take(await session.run({ inputs: swapped, outputs: ['OUTPUT1'] }))
          expect(some).toEqual(expected(2, 7, 3).slice(1))
        },
        graph,
      ))

    test('what was taken is given back', async () => {
      const library = dlopen(join(folder, 'graph/libfake_provider.so'), {
        fake_live: { args: [], returns: 'i64' },
      })
      const before = library.symbols.fake_live()
      await withSession(
        zoo.simple(),
        async (session) => void take(await session.run({ inputs: rows(2, 1, 3), outputs: BOTH })),
        graph,
      )
      expect(library.symbols.fake_live()).toBe(before)
    })

    const load = (model: Uint8Array, options: Partial<SessionOptions>, name = 'device-graph') =>
      backend.load({ bytes: model }, { ...SESSION_OPTIONS, ...options, providers: [{ name, options: {} }] })

    test('shapes that are left open are named, and an input of another size is refused', async () => {
      await expect(load(zoo.simple(), { ...GRAPH, freeDimensions: {} })).rejects.toThrow(
        'Cannot load "test/1" with a CUDA graph: "INPUT0" is INT32 [-1,16], and has to be numbers of one shape ' +
          '(session.free_dimensions fixes one); "INPUT1" is INT32 [-1,16]',
      )
      await expect(load(zoo.optionalInput(), GRAPH)).rejects.toThrow(/"BIAS" may be left out/)
      const session = await load(zoo.simple(), GRAPH)
      await expect(session.run({ inputs: rows(3, 1, 1), outputs: BOTH })).rejects.toThrow(
        'Cannot use input "INPUT0": [3,16] is 192 bytes, expected 128',
      )
      await session.close()
    })

    test('a model that the processor runs instead is no graph', async () => {
      const gone = [{ name: 'cuda', options: {} }]
      const options = { ...SESSION_OPTIONS, ...GRAPH, providers: gone }
      const session = await backend.load({ bytes: zoo.simple() }, options)
      expect([session.providers, session.runsMax]).toEqual([['CPUExecutionProvider'], undefined])
      expect(take(await session.run({ inputs: rows(2, 1, 1), outputs: BOTH }))).toEqual(expected(2, 1, 1))
      await session.close()
    })
  })
})
