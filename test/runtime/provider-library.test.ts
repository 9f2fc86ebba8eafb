/** Plug-in providers in ONNX Runtime as it is, with a provider of our own that can be told to fail. In this process. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import type { Session, Tensor } from '../../src/runtime/backend.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import {
  chooseDevice,
  type DeviceKind,
  type ProviderLibrary,
  type RegisteredLibrary,
} from '../../src/runtime/provider-library.ts'
import { createFolder } from '../kit/binary.ts'
import { buildFakeProvider, type Flaw, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
afterAll(folder.remove)

const FLAWS: readonly Flaw[] = ['no entry', 'future api', 'missing dependency', 'no device']

describe.skipIf(WITHOUT_COMPILER !== '')(`a plug-in provider${WITHOUT_COMPILER}`, () => {
  let backend: OrtBackend
  afterAll(() => backend?.stop())

  beforeAll(async () => {
    const path = await buildFakeProvider(here('whole'))
    const flawed = FLAWS.map(async (flaw) => ({
      name: flaw,
      path: await buildFakeProvider(here(flaw), { flaw }),
    }))
    const second = {
      name: 'second',
      path: await buildFakeProvider(here('second'), { name: 'SecondExecutionProvider' }),
    }
    const libraries: ProviderLibrary[] = [
      { name: 'fake', path },
      { name: 'same', path, device: 'cpu' },
      { name: 'gpu', path, device: 'gpu' },
      second,
      ...(await Promise.all(flawed)),
      { name: 'nowhere', path: '/nowhere/libprovider.so' },
    ]
    backend = new OrtBackend({
      libraryPath: EMBEDDED.onnxruntime.path,
      threads: 1,
      providerLibraries: libraries,
    })
  })

  const control = (word: string) => writeFile(here('control'), word)
  const recorded = async () => (await readFile(here('record'), 'utf8')).trimEnd().split('\n')

  async function load(model: Uint8Array, ...names: string[]): Promise<Session> {
    await rm(here('record'), { force: true })
    const options = { control: here('control'), record: here('record'), precision: 'FP16' }
    const providers = names.map((name) => ({ name, options }))
    return await backend.load({ bytes: model }, { ...SESSION_OPTIONS, providers })
  }

  async function run(session: Session, inputs: Tensor[]): Promise<number[][]> {
    const outputs = session.signature.outputs.map(({ name }) => name)
    const result = await session.run({ inputs, outputs })
    const values = result.outputs.map(({ bytes }) => [...new Int32Array(bytes.slice().buffer)])
    result.release()
    return values
  }

  const row = (name: string, from: (index: number) => number, shape = [1, 16]): Tensor => {
    const values = new Int32Array(shape.reduce((size, next) => size * next, 1)).map((_, index) => from(index))
    return { name, datatype: 'INT32', shape, bytes: new Uint8Array(values.buffer) }
  }
  const PAIR = [row('INPUT0', (index) => index * 3), row('INPUT1', (index) => index + 7)]

  test('runs the nodes that it takes, with the options that it was given, and says what the processor says', async () => {
    await control('ok')
    const fake = await load(zoo.simple(), 'fake')
    const cpu = await backend.load({ bytes: zoo.simple() }, { ...SESSION_OPTIONS, providers: [] })
    expect(fake.providers).toEqual(['FakeExecutionProvider', 'CPUExecutionProvider'])
    expect(fake.refusals).toEqual([])
    expect(await run(fake, PAIR)).toEqual(await run(cpu, PAIR))
    // One session, with what it does not take for itself; then a run for each of the two nodes.
    expect(await recorded()).toEqual(['session precision=FP16', 'run', 'run'])
    await fake.close()
    await cpu.close()
  })

  test('is registered once where two names share a library, and each finds its own of several', async () => {
    const [fake, same, , second] = backend.ort.libraries
    expect(fake && same && 'handle' in fake && 'handle' in same && fake.handle === same.handle).toBe(true)
    expect(second).toMatchObject({
      chosen: {
        provider: 'SecondExecutionProvider',
        vendor: "Limpet's tests",
        version: '1.2.3',
        kind: 'cpu',
      },
    })
  })

  test.each([
    [
      'no entry',
      /no entry\/libfake_provider\.so" as a provider library: .*CreateEpFactories; it has to be a plug-in/,
    ],
    ['future api', /built for version 999 of the API, which ONNX Runtime 1\.\d+\.\d+ does not have/],
    ['missing dependency', /libmissing\.so: cannot open shared object file/],
    ['no device', /was loaded and finds no device here/],
    ['nowhere', /^there is no "\/nowhere\/libprovider\.so"$/],
    ['gpu', /has nothing for device = "gpu": it has FakeExecutionProvider on cpu/],
  ])(
    'that cannot be had (%s) costs a model that wants it nothing but that, and says why',
    async (name, why) => {
      const library = backend.ort.libraries.find((one) => one.name === name)
      expect(library && 'problem' in library ? library.problem : 'none').toMatch(why)
      await control('ok')
      const session = await load(zoo.simple(), name, 'fake')
      expect(session.providers).toEqual(['FakeExecutionProvider', 'CPUExecutionProvider'])
      expect(session.refusals).toEqual([{ provider: name, reason: expect.stringMatching(why) }])
      await session.close()
    },
  )

  test('that refuses a session leaves it to the next', async () => {
    await control('refuse')
    const session = await load(zoo.simple(), 'fake')
    expect(session.providers).toEqual(['CPUExecutionProvider'])
    expect(session.refusals).toEqual([
      {
        provider: 'fake',
        reason: expect.stringContaining('fake device is busy: told to by the control file'),
      },
    ])
    expect(await run(session, PAIR)).toHaveLength(2)
    await session.close()
  })

  test('that fails while it runs fails that run, and not the next', async () => {
    await control('ok')
    const session = await load(zoo.simple(), 'fake')
    expect(await run(session, PAIR)).toHaveLength(2)
    await control('fail')
    await expect(run(session, PAIR)).rejects.toThrow(/ONNX Runtime says FAIL: .*fake kernel failed/)
    await control('ok')
    expect(await run(session, PAIR)).toHaveLength(2)
    expect(session.faults).toEqual({ failedRuns: 1, repeatedRuns: 0, replacements: 0 })
    await session.close()
  })

  test('that has lost its device has lost it for the process: the processor answers, and the next session does without', async () => {
    await control('ok')
    const session = await load(zoo.simple(), 'second')
    const before = await run(session, PAIR)
    await control('lost')
    expect(await run(session, PAIR)).toEqual(before)
    expect(session.providers).toEqual(['CPUExecutionProvider'])
    expect(session.refusals).toEqual([
      { provider: 'second', reason: expect.stringContaining('fake device lost'), hasFailed: true },
    ])
    await session.close()
    await control('ok')
    const again = await load(zoo.simple(), 'second')
    expect(again.providers).toEqual(['CPUExecutionProvider'])
    expect(again.refusals).toEqual([
      { provider: 'second', reason: expect.stringContaining('fake device lost') },
    ])
    await again.close()
  })
})

describe('of several devices', () => {
  const device = (kind: DeviceKind, provider = 'A', deviceId = 0) => ({
    ...{ provider, kind, deviceId, handle: 1, vendor: '', version: undefined, deviceVendor: 'V' },
  })
  const DEVICES = [device('cpu'), device('npu'), device('gpu'), device('gpu', 'A', 1), device('npu', 'B', 2)]
  const choose = (library: Partial<ProviderLibrary>, devices = DEVICES): RegisteredLibrary =>
    chooseDevice({ name: 'plug', path: '/plug.so', ...library }, devices)

  test.each([
    ['a GPU comes before an NPU before a processor', {}, 2],
    ['the one with the number that is asked for', { device_index: 1 }, 3],
    ['the kind that is asked for', { device: 'cpu' }, 0],
    ['the provider that is asked for', { provider: 'B' }, 4],
  ] as const)('%s', (_, library, index) => {
    expect(choose(library)).toMatchObject({ chosen: DEVICES[index] ?? {} })
  })

  test.each([
    [
      { device: 'npu', device_index: 1 },
      'has nothing for device = "npu", device_index = 1: it has A on cpu V, A on npu V',
    ],
    [{ provider: 'C' }, 'has nothing for provider = "C": it has A on cpu V'],
  ] as const)('none is told by what was asked for and what there is: %j', (library, says) => {
    const chosen = choose(library)
    expect('problem' in chosen ? chosen.problem : 'none').toContain(says)
  })
})
