/** A model's settings for GPUs in the words of each provider, against its shapes, and with what the device says. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { limitMemory } from '../../src/app/runtime.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { ProviderChoice, SessionOptions, Signature } from '../../src/runtime/backend.ts'
import { planProviders } from '../../src/runtime/gpu-plan.ts'
import { applyGpuSettings, type GpuSettings } from '../../src/runtime/gpu-settings.ts'
import { resolveShapes } from '../../src/runtime/gpu-shapes.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import { providerFullName as nameOf } from '../../src/runtime/providers.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import { spec } from '../kit/fake-session.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

const folder = await mkdtemp(join(tmpdir(), 'limpet-gpu-'))
beforeAll(() => setLogLevel('silent'))
afterAll(async () => {
  setLogLevel('info')
  await rm(folder, { recursive: true })
})

const GPU: GpuSettings = { precision: ['fp32'], shapes: {} }
const choice = (name: string, options: Record<string, string> = {}): ProviderChoice => ({ name, options })
const range = (min: number[], opt: number[], max: number[]) => ({ min, opt, max })

describe('in the words of', () => {
  test.each<[provider: string, gpu: Partial<GpuSettings>, options: Record<string, string>]>([
    ['cuda', {}, {}],
    ['cpu', { device: 1, precision: ['fp16'] }, {}],
    ['openvino', { device: 1, precision: ['fp16'] }, {}],
    [
      'cuda',
      { device: 1, memoryBytesMax: 2 ** 31, layout: 'nhwc', convolutionSearch: 'heuristic', tf32: false },
      {
        device_id: '1',
        gpu_mem_limit: '2147483648',
        prefer_nhwc: '1',
        cudnn_conv_algo_search: 'HEURISTIC',
        use_tf32: '0',
      },
    ],
    ['cuda', { layout: 'nchw', precision: ['fp16'], workspaceBytesMax: 1 }, { prefer_nhwc: '0' }],
    [
      'tensorrt',
      { precision: ['int8', 'fp16'], calibrationTable: '/m/t', dlaCore: 1, workspaceBytesMax: 2 ** 30 },
      {
        trt_fp16_enable: '1',
        trt_int8_enable: '1',
        trt_int8_calibration_table_name: '/m/t',
        trt_dla_enable: '1',
        trt_dla_core: '1',
        trt_max_workspace_size: '1073741824',
      },
    ],
    ['cuda', { cudaGraph: true }, { enable_cuda_graph: '1' }],
    ['tensorrt', { cudaGraph: true }, { trt_cuda_graph_enable: '1' }],
    ['cuda', { cudaGraph: false }, {}],
    ['tensorrt', { precision: ['bf16'], device: 0 }, { trt_bf16_enable: '1', device_id: '0' }],
    [
      'tensorrt',
      { subgraphNodesMin: 5, builderLevel: 2, memoryBytesMax: 1, layout: 'nhwc' },
      { trt_min_subgraph_size: '5', trt_builder_optimization_level: '2' },
    ],
    [
      'NvTensorRTRTXExecutionProvider',
      { device: 2, precision: ['fp16'], workspaceBytesMax: 9, shapes: { x: [range([1], [2], [4])] } },
      {
        device_id: '2',
        nv_max_workspace_size: '9',
        nv_profile_min_shapes: 'x:1',
        nv_profile_opt_shapes: 'x:2',
        nv_profile_max_shapes: 'x:4',
      },
    ],
  ])('%s: %j', (name, gpu, options) => {
    expect(applyGpuSettings([choice(name)], { gpu: { ...GPU, ...gpu }, nameOf })).toEqual({
      providers: [choice(name, options)],
      problems: [],
    })
  })

  test('TensorRT: several profiles of several inputs, profile by profile', () => {
    const shapes = {
      images: [
        range([1, 3, 320, 320], [1, 3, 640, 640], [1, 3, 640, 640]),
        range([2, 3, 320, 320], [8, 3, 640, 640], [8, 3, 640, 640]),
      ],
      'sizes:0': [range([1, 2], [1, 2], [1, 2]), range([2, 2], [8, 2], [8, 2])],
    }
    const { providers } = applyGpuSettings([choice('tensorrt')], { gpu: { ...GPU, shapes }, nameOf })
    expect(providers[0]?.options).toEqual({
      trt_profile_min_shapes: 'images:1x3x320x320,sizes:0:1x2,images:2x3x320x320,sizes:0:2x2',
      trt_profile_opt_shapes: 'images:1x3x640x640,sizes:0:1x2,images:8x3x640x640,sizes:0:8x2',
      trt_profile_max_shapes: 'images:1x3x640x640,sizes:0:1x2,images:8x3x640x640,sizes:0:8x2',
    })
  })

  test('a provider’s own options count, and are a problem where the settings say something else', () => {
    const own = choice('tensorrt', { trt_fp16_enable: '0', trt_dla_core: '1', trt_sparsity_enable: '1' })
    const { providers, problems } = applyGpuSettings([own], {
      gpu: { ...GPU, precision: ['fp16', 'int8'], dlaCore: 1 },
      nameOf,
    })
    expect(providers[0]?.options).toMatchObject({ trt_dla_core: '1', trt_sparsity_enable: '1' })
    expect(problems).toEqual([
      '"tensorrt" has trt_fp16_enable = "0" among its options, session.gpu makes it "1"',
    ])
  })
})

test('memory that is shared bounds CUDA as all models are bound, unless the device says otherwise', () => {
  const providers = [
    choice('tensorrt'),
    choice('cuda', { arena_extend_strategy: 'kSameAsRequested' }),
    choice('cpu'),
  ]
  const limited = { arena_extend_strategy: 'kSameAsRequested', gpu_mem_limit: '4096' }
  expect(limitMemory(providers, 4096)).toEqual([choice('tensorrt'), choice('cuda', limited), choice('cpu')])
  expect(limitMemory(providers, 0)).toEqual(providers)
  const own = [choice('CUDAExecutionProvider', { gpu_mem_limit: '9' })]
  expect(limitMemory(own, 4096)).toEqual(own)
})

test('what a provider’s options are together may be impossible, wherever each comes from', () => {
  const problems = (options: Record<string, string>, gpu: Partial<GpuSettings> = {}) =>
    applyGpuSettings([choice('tensorrt', options)], { gpu: { ...GPU, ...gpu }, nameOf }).problems
  const alone = ['"tensorrt" has trt_dla_enable, which takes trt_fp16_enable or trt_int8_enable beside it']
  expect(problems({ trt_dla_enable: 'True' })).toEqual(alone)
  expect(problems({ trt_dla_enable: '1', trt_fp16_enable: '0' })).toEqual(alone)
  expect(problems({ trt_dla_enable: '1', trt_fp16_enable: '1' })).toEqual([])
  expect(problems({ trt_dla_enable: '1' }, { precision: ['int8'] })).toEqual([])
  expect(problems({ trt_profile_min_shapes: 'x:1', trt_profile_max_shapes: 'x:2' })).toEqual([
    '"tensorrt" has trt_profile_min_shapes, trt_profile_max_shapes alone, min, opt and max belong together',
  ])
})

describe('shapes', () => {
  const signature = (...inputs: Signature['inputs'][number][]): Signature => {
    return { inputs, outputs: [], unsupportedOutputs: [] }
  }
  const images = spec('images', 'FP32', [-1, 3, -1, -1])
  const rows = spec('rows', 'FP32', [-1, 16])
  const whole = { images: [range([1, 3, 320, 320], [4, 3, 640, 640], [8, 3, 640, 640])] }

  test.each<[what: string, of: Signature, told: GpuSettings['shapes'], batch: number, come: object]>([
    ['that fit are taken', signature(images), whole, 8, { shapes: whole }],
    [
      'are made of max_batch_size where the batch is all that is open',
      signature(rows, spec('same', 'INT64', [-1])),
      {},
      4,
      { shapes: { rows: [range([1, 16], [4, 16], [4, 16])], same: [range([1], [4], [4])] } },
    ],
    ['are not made up where more is open', signature(rows, images), {}, 4, { shapes: {} }],
    ['are not made up without a batch', signature(rows), {}, 0, { shapes: {} }],
    ['are not made up of a fixed batch', signature(spec('x', 'FP32', [2, 16])), {}, 2, { shapes: {} }],
    [
      'of an input that there is not are named',
      signature(images),
      { ...whole, image: [range([1], [1], [1])] },
      0,
      { problems: ['session.gpu.shapes names "image", the model\'s inputs are "images"'] },
    ],
    [
      'of another rank are named',
      signature(images),
      { images: [range([1, 3, 640], [1, 3, 640], [1, 3, 640])] },
      0,
      { problems: ['session.gpu.shapes of "images" has 3 dimensions, the model has [-1,3,-1,-1]'] },
    ],
    [
      'that the model does not leave open are named',
      signature(images),
      { images: [range([1, 1, 8, 8], [1, 3, 8, 8], [1, 4, 8, 8])] },
      0,
      { problems: ['session.gpu.shapes of "images" has 1 to 4 at 1, the model has 3 there'] },
    ],
    [
      'that an open input lacks are named',
      signature(images, rows),
      whole,
      0,
      { problems: ['session.gpu.shapes of "rows" is missing: the model leaves [-1,16] open'] },
    ],
    ['may lack a fixed input', signature(images, spec('scale', 'FP32', [1])), whole, 0, { shapes: whole }],
    [
      'whose batches are smaller than runs can be are named',
      signature(images),
      whole,
      16,
      {
        problems: [
          'session.gpu.shapes of "images" has batches of 1 to 8, runs are of 1 to max_batch_size 16',
        ],
      },
    ],
    [
      'that a single request is too small for are named',
      signature(rows),
      { rows: [range([2, 16], [4, 16], [4, 16])] },
      4,
      { problems: ['session.gpu.shapes of "rows" has batches of 2 to 4, runs are of 1 to max_batch_size 4'] },
    ],
  ])('%s', (_, of, told, batchSizeMax, come) => {
    expect(resolveShapes(of, { shapes: told, batchSizeMax })).toEqual(come as never)
  })
})

describe('a plan', () => {
  const bytes = { bytes: new Uint8Array(0) }
  const plan = (
    options: Partial<SessionOptions>,
    more: { path?: string; device?: ProviderChoice[] } = {},
  ) => {
    let looks = 0
    const look = () => {
      looks += 1
      return Promise.resolve({
        inputs: [spec('rows', 'FP32', [-1, 16])],
        outputs: [],
        unsupportedOutputs: [],
      })
    }
    const source = more.path === undefined ? bytes : { path: more.path }
    const planned = planProviders({
      source,
      options: { ...SESSION_OPTIONS, ...options },
      device: more.device ?? [],
      nameOf,
      look,
    })
    return planned.then((providers) => ({ providers, looks }))
  }

  test('leaves the processor alone as it is, and looks at no model for it', async () => {
    expect(await plan({ batchSizeMax: 8 })).toEqual({ providers: [choice('cpu')], looks: 0 })
    const cuda = [choice('cuda'), choice('cpu')]
    expect(await plan({ batchSizeMax: 8, providers: cuda })).toEqual({ providers: cuda, looks: 0 })
  })

  test('gives a provider that a model names what the device has for it, under what the model says', async () => {
    const device = [choice('cuda', { arena_extend_strategy: 'kSameAsRequested', gpu_mem_limit: '5' })]
    const own = choice('CUDAExecutionProvider', { gpu_mem_limit: '7' })
    const { providers } = await plan({ providers: [own] }, { device })
    expect(providers[0]?.options).toEqual({ arena_extend_strategy: 'kSameAsRequested', gpu_mem_limit: '7' })
  })

  test('tells TensorRT the batches of a model that says nothing of GPUs, unless its options do', async () => {
    const told = await plan({ batchSizeMax: 8, providers: [choice('tensorrt')] })
    expect(told.providers[0]?.options).toEqual({
      trt_profile_min_shapes: 'rows:1x16',
      trt_profile_opt_shapes: 'rows:8x16',
      trt_profile_max_shapes: 'rows:8x16',
    })
    const bounds = ['min', 'opt', 'max'].map((bound) => [`trt_profile_${bound}_shapes`, 'rows:2x16'])
    const own = choice('tensorrt', Object.fromEntries(bounds) as Record<string, string>)
    expect(await plan({ batchSizeMax: 8, providers: [own] })).toEqual({ providers: [own], looks: 0 })
  })

  test('finds the calibration table beside the model', async () => {
    const table = join(folder, 'ranges')
    await writeFile(table, 'x')
    const gpu: GpuSettings = { ...GPU, precision: ['int8'], calibrationTable: 'ranges' }
    const path = join(folder, 'model.onnx')
    const { providers } = await plan({ gpu, providers: [choice('tensorrt')] }, { path })
    expect(providers[0]?.options).toEqual({
      trt_int8_enable: '1',
      trt_int8_calibration_table_name: table,
    })
  })

  test('names everything that cannot be at once', async () => {
    const shapes = { rows: [range([1], [1], [1])], columns: [range([1], [1], [1])] }
    const gpu: GpuSettings = { ...GPU, precision: ['int8'], calibrationTable: 'none', shapes }
    const own = choice('tensorrt', { trt_int8_enable: '0' })
    await expect(plan({ gpu, providers: [own] }, { path: join('/nowhere', 'model.onnx') })).rejects.toThrow(
      'Cannot load "test/1": session.gpu.calibration_table is "none", and there is no such file beside the model; ' +
        'session.gpu.shapes names "columns", the model\'s inputs are "rows"; ' +
        'session.gpu.shapes of "rows" has 1 dimensions, the model has [-1,16]; ' +
        '"tensorrt" has trt_int8_enable = "0" among its options, session.gpu makes it "1"',
    )
  })
})

describe('a backend', () => {
  const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 1 })
  afterAll(() => backend.stop())
  const load = (shapes: GpuSettings['shapes']) =>
    backend.load(
      { bytes: zoo.simple() },
      { ...SESSION_OPTIONS, providers: [choice('tensorrt')], gpu: { ...GPU, shapes } },
    )
  const both = (of: ReturnType<typeof range>) => ({ INPUT0: [of], INPUT1: [of] })

  test('holds shapes against the model before anything is built for them', async () => {
    await expect(load(both(range([1], [1], [1])))).rejects.toThrow(
      /shapes of "INPUT0" has 1 dimensions, the model has \[-1,16\]; session\.gpu\.shapes of "INPUT1"/,
    )
  })

  test('loads a model whose shapes fit on what is there', async () => {
    const session = await load(both(range([1, 16], [4, 16], [8, 16])))
    expect(session.refusals.map(({ provider }) => provider)).toEqual(['tensorrt'])
    await session.close()
  })
})

describe.skipIf(WITHOUT_COMPILER !== '')(`a provider${WITHOUT_COMPILER}`, () => {
  test('gets what the settings come to, in its own words', async () => {
    const name = 'NvTensorRTRTXExecutionProvider'
    const path = await buildFakeProvider(join(folder, 'rtx'), { name })
    const record = join(folder, 'record')
    const providers = [choice('rtx', { record })]
    const providerLibraries = [{ name: 'rtx', path }]
    const libraryPath = EMBEDDED.onnxruntime.path
    const backend = new OrtBackend({ libraryPath, threads: 1, providers, providerLibraries })
    try {
      const options = { ...SESSION_OPTIONS, providers: undefined, batchSizeMax: 8 }
      const gpu: GpuSettings = { ...GPU, device: 0, workspaceBytesMax: 4096 }
      const session = await backend.load({ bytes: zoo.simple() }, { ...options, gpu })
      expect(session.placement).toMatchObject([
        { provider: name, nodes: 2, operators: ['Add', 'Sub'] },
        { nodes: 0, operators: [] },
      ])
      await session.close()
      const [asked = ''] = (await readFile(record, 'utf8')).split('\n')
      expect(asked.split(' ').sort()).toEqual([
        'device_id=0',
        'nv_max_workspace_size=4096',
        'nv_profile_max_shapes=INPUT0:8x16,INPUT1:8x16',
        'nv_profile_min_shapes=INPUT0:1x16,INPUT1:1x16',
        'nv_profile_opt_shapes=INPUT0:8x16,INPUT1:8x16',
        'session',
      ])
    } finally {
      await backend.stop()
    }
  })
})
