/** What the doctor says of libraries, drivers and CUDA: facts in, words out. */
import { describe, expect, test } from 'bun:test'
import type { GpuFacts } from '../../../src/app/doctor/gpu.ts'
import { judgeGpus } from '../../../src/app/doctor/judge-gpu.ts'
import { judgeLibraries, type LibraryFacts } from '../../../src/app/doctor/libraries.ts'
import { originOf } from '../../../src/app/doctor/library-words.ts'
import { judgeProviders } from '../../../src/app/doctor/providers.ts'

const CUDA: LibraryFacts = {
  name: 'cuda',
  path: '/opt/ort/libonnxruntime_providers_cuda.so',
  why: 'the firmware profile prefers it',
  use: 'wanted',
  version: undefined,
  closure: { found: [{ name: 'x', path: '/x' }], missing: [], versionsMissing: [] },
  unopened: [],
}
const missing = (...names: string[]) => names.map((name) => ({ name, by: CUDA.path, unfit: [] }))
const closure = (more: object) => ({
  found: [{ name: 'x', path: '/x' }],
  missing: [],
  versionsMissing: [],
  ...more,
})

describe('of a library', () => {
  test.each<[what: string, more: Partial<LibraryFacts>, status: string, text: RegExp, fix: RegExp]>([
    ['that is whole', {}, 'ok', /all it needs is there \(0 libraries\)$/, /^$/],
    [
      'that lacks CUDA',
      { closure: closure({ missing: missing('libcublasLt.so.13', 'libcudart.so.13') }) },
      'warning',
      /this is missing: libcublasLt\.so\.13 and libcudart\.so\.13 \(CUDA 13\)$/,
      /libraries of CUDA 13 .*cuda-libraries-13/,
    ],
    [
      'that lacks cuDNN, of the CUDA that it is for',
      { closure: closure({ missing: missing('libcudart.so.12', 'libcudnn.so.9') }) },
      'warning',
      /libcudnn\.so\.9 \(cuDNN 9\)/,
      /libcudnn9-cuda-12/,
    ],
    [
      'that lacks the driver',
      { closure: closure({ missing: missing('libcuda.so.1') }) },
      'warning',
      /libcuda\.so\.1 \(the NVIDIA driver\)/,
      /install the NVIDIA driver; .*--gpus all/,
    ],
    [
      'that lacks what nobody knows',
      { closure: closure({ missing: missing('libodd.so.3') }) },
      'warning',
      /missing: libodd\.so\.3$/,
      /^install the package that brings libodd\.so\.3$/,
    ],
    [
      'that will not find what it opens',
      { unopened: ['libcudnn.so.9'] },
      'warning',
      /can be loaded, but will not find what it opens itself: libcudnn\.so\.9 \(cuDNN 9\)/,
      /install cuDNN 9/,
    ],
    [
      'that the config asks for',
      { use: 'named', closure: closure({ missing: missing('libcuda.so.1') }) },
      'fault',
      /cannot be loaded/,
      /driver/,
    ],
    [
      'that nobody wants',
      { use: 'spare', closure: closure({ missing: missing('libcuda.so.1') }) },
      'note',
      /cannot be loaded/,
      /driver/,
    ],
    [
      'for another machine',
      { use: 'chosen', closure: 'is for arm64' },
      'fault',
      /libonnxruntime_providers_cuda\.so" \(.*\) is for arm64$/,
      /for this machine/,
    ],
    [
      'that wants a newer C library',
      {
        closure: closure({
          versionsMissing: [
            {
              version: 'GLIBC_2.38',
              by: CUDA.path,
              name: 'libc.so.6',
              path: '/lib/libc.so.6',
              newest: 'GLIBC_2.31',
            },
          ],
        }),
      },
      'warning',
      /it wants GLIBC_2\.38 of libc\.so\.6, and "\/lib\/libc\.so\.6" has up to GLIBC_2\.31$/,
      /glibc 2\.38 or newer/,
    ],
    [
      'that wants a newer C++ library',
      {
        closure: closure({
          versionsMissing: [
            {
              version: 'GLIBCXX_3.4.32',
              by: CUDA.path,
              name: 'libstdc++.so.6',
              path: '/lib/libstdc++.so.6',
              newest: undefined,
            },
          ],
        }),
      },
      'warning',
      /does not have it$/,
      /libstdc\+\+6 of GCC 13/,
    ],
    [
      'whose need is there for another machine',
      {
        closure: closure({
          missing: [{ name: 'libtbb.so.12', by: CUDA.path, unfit: ['"/lib/libtbb.so.12" is for arm64'] }],
        }),
      },
      'warning',
      /libtbb\.so\.12 \(Intel TBB\), what lies there does not do: "\/lib\/libtbb\.so\.12" is for arm64/,
      /install libtbb12/,
    ],
  ])('%s', (_, more, status, text, fix) => {
    const [check] = judgeLibraries([{ ...CUDA, ...more }])
    expect(check).toMatchObject({
      status,
      text: expect.stringMatching(text),
      fix: expect.stringMatching(fix),
    })
  })

  test('each fix is said once, a line each', () => {
    const lacking = closure({ missing: missing('libcudart.so.13', 'libcublas.so.13', 'libcuda.so.1') })
    const [check] = judgeLibraries([{ ...CUDA, closure: lacking, unopened: ['libcudnn.so.9'] }])
    expect(check?.fix.split('\n').map((line) => line.split(' ').slice(0, 4).join(' '))).toEqual([
      'install the libraries of',
      'install the NVIDIA driver;',
      'install cuDNN 9 for',
    ])
    expect(check?.text).toContain('; it would open later, and not find: libcudnn.so.9')
  })

  test.each([
    ['libnvinfer_plugin.so.10', 'TensorRT 10'],
    ['libcurand.so.10', 'CUDA 13'],
    ['libnvidia-ml.so.1', 'the NVIDIA driver'],
    ['libopenvino.so.2600', 'OpenVINO 2600'],
    ['libvulkan.so.1', 'Vulkan'],
    ['libc.musl-x86_64.so.1', 'the C library of Alpine'],
    ['libonnxruntime_providers_shared.so', 'ONNX Runtime'],
  ])('%s is of %s', (name, what) => {
    expect(originOf(name, '13').what).toBe(what)
  })
})

test('a provider is there when its library is there and whole', () => {
  const built = ['CPUExecutionProvider', 'CUDAExecutionProvider', 'OddExecutionProvider']
  const of = (libraries: readonly LibraryFacts[]) =>
    judgeProviders({ built, libraries, plugins: ['openvino'] }).filter(({ facts }) =>
      ['cuda', 'OddExecutionProvider'].includes(String(facts['provider'])),
    )
  expect(of([CUDA]).map(({ text }) => text)).toEqual([
    `cuda: available through "${CUDA.path}"`,
    'OddExecutionProvider: available',
  ])
  expect(
    judgeProviders({ built, libraries: [], plugins: ['openvino'] })
      .map(({ text }) => text)
      .join(),
  ).not.toContain('openvino')
  expect(of([])[0]?.text).toContain('there is no "libonnxruntime_providers_cuda.so"')
  expect(of([{ ...CUDA, closure: closure({ missing: missing('libcuda.so.1') }) }])[0]?.text).toContain(
    'cannot be loaded',
  )
})

const NOTHING: GpuFacts = {
  onPci: [],
  isJetson: false,
  jetpackCuda: undefined,
  module: undefined,
  library: undefined,
  cudaWanted: undefined,
  capability: undefined,
  gpus: [],
  problem: undefined,
  isNamed: false,
}
const HERE = { ...NOTHING, onPci: ['10de:26b9'], module: '535.129.03' }
const wants = (major: number) => ({ major, by: 'the library of provider cuda' })

describe('of the GPU', () => {
  test.each<[what: string, facts: GpuFacts, id: string, status: string, text: RegExp]>([
    [
      'none',
      {
        ...NOTHING,
        problem:
          'Cannot open "libnvidia-ml.so.1": libnvidia-ml.so.1: cannot open shared object file: No such file or directory',
      },
      'gpu.none',
      'note',
      /^no NVIDIA GPU: there is no libnvidia-ml\.so\.1$/,
    ],
    [
      'without its driver',
      { ...HERE, module: undefined },
      'gpu.driver_absent',
      'warning',
      /10de:26b9 is on PCI, but its driver is not loaded/,
    ],
    [
      'without its driver, which the config needs',
      { ...HERE, module: undefined, isNamed: true },
      'gpu.driver_absent',
      'fault',
      /not loaded/,
    ],
    [
      'whose driver was changed while it ran',
      { ...HERE, library: '550.54.14' },
      'gpu.driver_mixed',
      'warning',
      /kernel has loaded 535\.129\.03, its libraries are 550\.54\.14/,
    ],
    [
      'whose driver says so itself',
      { ...HERE, problem: 'Cannot start "libnvidia-ml.so.1": nvmlInit_v2 says 18, expected 0' },
      'gpu.nvml',
      'warning',
      /different versions: restart the machine/,
    ],
    [
      'that this user may not ask',
      { ...HERE, problem: 'Cannot start "x": nvmlInit_v2 says 4, expected 0' },
      'gpu.nvml',
      'warning',
      /"video" and "render"/,
    ],
    [
      'whose driver does',
      { ...HERE, cudaWanted: wants(12) },
      'gpu.cuda',
      'ok',
      /driver 535\.129\.03 runs CUDA 12/,
    ],
    [
      'whose driver is too old',
      { ...HERE, cudaWanted: wants(13), isNamed: true },
      'gpu.cuda',
      'fault',
      /535\.129\.03 is too old: the library of provider cuda wants CUDA 13, which needs driver 580\.65\.06 or newer/,
    ],
    [
      'whose driver is just old enough',
      { ...HERE, module: '525.60.13', cudaWanted: wants(12) },
      'gpu.cuda',
      'ok',
      /runs CUDA 12/,
    ],
    [
      'whose driver is one patch too old',
      { ...HERE, module: '525.60.12', cudaWanted: wants(12) },
      'gpu.cuda',
      'warning',
      /too old/,
    ],
    ['with a CUDA from the future', { ...HERE, cudaWanted: wants(21) }, 'gpu.cuda', 'note', /not known here/],
    [
      'that CUDA has left behind',
      { ...HERE, module: '580.65.06', cudaWanted: wants(13), capability: 61 },
      'gpu.capability',
      'warning',
      /capability 6\.1, CUDA 13 runs from 7\.5 on/,
    ],
    [
      'of a Jetson, whose JetPack is too old',
      { ...NOTHING, isJetson: true, jetpackCuda: '11.4', cudaWanted: wants(12) },
      'gpu.cuda',
      'warning',
      /wants CUDA 12, JetPack brings CUDA 11\.4/,
    ],
    [
      'of a Jetson, whose JetPack does',
      { ...NOTHING, isJetson: true, jetpackCuda: '12.2 to 12.6', cudaWanted: wants(12) },
      'gpu.cuda',
      'ok',
      /CUDA 12\.2 to 12\.6 is what/,
    ],
  ])('%s', (_, facts, id, status, text) => {
    expect(judgeGpus(facts)).toContainEqual(
      expect.objectContaining({ id, status, text: expect.stringMatching(text) }),
    )
  })
})
