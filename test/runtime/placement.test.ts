/** Which provider has which part of a graph: what ONNX Runtime says of it, and what is made of that. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { PlacedNodes, SessionOptions } from '../../src/runtime/backend.ts'
import { describePlacement, idleProviders } from '../../src/runtime/idle-providers.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import { PLACEMENT_ENTRY } from '../../src/runtime/placement.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 1 })
const folder = await mkdtemp(join(tmpdir(), 'limpet-placement-'))
beforeAll(() => setLogLevel('silent'))
afterAll(async () => {
  setLogLevel('info')
  await backend.stop()
  await rm(folder, { recursive: true })
})

async function place(model: Uint8Array, options: Partial<SessionOptions> = {}) {
  const session = await backend.load({ bytes: model }, { ...SESSION_OPTIONS, ...options })
  await session.close()
  return session.placement
}

const CPU = 'CPUExecutionProvider'
const CUDA = 'CUDAExecutionProvider'
const TENSORRT = 'TensorrtExecutionProvider'
const nodes = (provider: string, count: number, ...operators: string[]): PlacedNodes => {
  return { provider, nodes: count, operators }
}

describe('a session', () => {
  test('tells how many nodes each provider has, and of what kind', async () => {
    expect(await place(zoo.simple())).toEqual([nodes(CPU, 2, 'Add', 'Sub')])
    expect(await place(zoo.optionalInput())).toEqual([nodes(CPU, 1, 'Add')])
  })

  test('does not know it where its settings forbid the record', async () => {
    const configEntries = { [PLACEMENT_ENTRY]: '0' }
    expect(await place(zoo.simple(), { configEntries })).toBeUndefined()
  })
})

describe.skipIf(WITHOUT_COMPILER !== '')(
  `with a provider that knows Add, Sub and Mul alone${WITHOUT_COMPILER}`,
  () => {
    const FAKE = 'FakeExecutionProvider'
    test('tells what it has, what it left, and that it has nothing', async () => {
      // One environment for all tests of a process: a name is given once.
      const providerLibraries = [{ name: 'fake-placement', path: await buildFakeProvider(folder) }]
      const libraryPath = EMBEDDED.onnxruntime.path
      const other = new OrtBackend({ libraryPath, threads: 1, providerLibraries })
      try {
        const placed = async (model: Uint8Array) => {
          const providers = [{ name: 'fake-placement', options: {} }]
          const session = await other.load({ bytes: model }, { ...SESSION_OPTIONS, providers })
          await session.close()
          return { placement: session.placement, idle: idleProviders(session) }
        }
        expect(await placed(zoo.simple())).toEqual({
          placement: [nodes(FAKE, 2, 'Add', 'Sub'), nodes(CPU, 0)],
          idle: [],
        })
        const { placement, idle } = await placed(zoo.mapOutput())
        expect(placement?.map(({ provider, nodes: count }) => [provider, count])).toEqual([
          [FAKE, 0],
          [CPU, 2],
        ])
        expect(idle).toEqual([FAKE])
      } finally {
        await other.stop()
      }
    })
  },
)

describe('idle is', () => {
  test.each<[what: string, placement: PlacedNodes[] | undefined, idle: string[]]>([
    ['none where it is not known', undefined, []],
    ['none on the processor alone', [nodes(CPU, 5)], []],
    ['none where the first runs all', [nodes(TENSORRT, 5), nodes(CUDA, 0), nodes(CPU, 0)], []],
    ['none of a graph without nodes', [nodes(CUDA, 0), nodes(CPU, 0)], []],
    ['the GPU where the processor runs all', [nodes(CUDA, 0), nodes(CPU, 5)], [CUDA]],
    ['each one passed over', [nodes(TENSORRT, 0), nodes(CUDA, 0), nodes(CPU, 5)], [TENSORRT, CUDA]],
    [
      'the first alone where the second runs some',
      [nodes(TENSORRT, 0), nodes(CUDA, 4), nodes(CPU, 1)],
      [TENSORRT],
    ],
  ])('%s', (_, placement, idle) => {
    expect(idleProviders({ placement })).toEqual(idle)
  })
})

test('in words: how many, and what is left to those that come after', () => {
  const placement = [nodes(CUDA, 120, 'Conv'), nodes(CPU, 3, 'NonMaxSuppression', 'TopK')]
  expect(describePlacement(placement)).toBe(`${CUDA} 120 nodes, ${CPU} 3 (NonMaxSuppression, TopK)`)
})
