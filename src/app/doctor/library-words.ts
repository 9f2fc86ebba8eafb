import type { Missing, VersionMissing } from '../../runtime/linker/closure.ts'

/** What a missing library belongs to, and how a person gets it. */
export interface Origin {
  readonly what: string
  readonly fix: string
}

const DRIVER: Origin = {
  what: 'the NVIDIA driver',
  fix: 'install the NVIDIA driver; a container has to be started with the NVIDIA runtime ("--gpus all")',
}

type Rule = readonly [name: RegExp, origin: (major: string, cuda: string | undefined) => Origin]

const package_ = (what: string, name: string): Origin => ({ what, fix: `install ${name}` })

/** By the name that the dynamic linker looks for; the first that fits. */
const RULES: readonly Rule[] = [
  [/^lib(?:cuda|nvidia-ml|nvidia-ptxjitcompiler)\.so\.(\d+)$/, () => DRIVER],
  [
    /^libcudnn\w*\.so\.(\d+)$/,
    (major, cuda) =>
      package_(
        `cuDNN ${major}`,
        `cuDNN ${major}${cuda === undefined ? '' : ` for CUDA ${cuda} (Debian and Ubuntu: libcudnn${major}-cuda-${cuda})`}`,
      ),
  ],
  [
    /^libnv(?:infer|onnxparser)\w*\.so\.(\d+)$/,
    (major) =>
      package_(
        `TensorRT ${major}`,
        `TensorRT ${major} (Debian and Ubuntu: libnvinfer${major}, libnvonnxparsers${major})`,
      ),
  ],
  [
    /^lib(?:cudart|cublas|cublasLt|nvrtc|cufft|curand|cusparse|cusolver|nvJitLink)\.so\.(\d+)$/,
    (_, cuda = '') =>
      package_(
        `CUDA ${cuda}`.trim(),
        `the libraries of CUDA ${cuda}${cuda === '' ? '' : ` (NVIDIA's packages cuda-libraries-${cuda}-*)`}, or take a build of ONNX Runtime for the CUDA that is here`,
      ),
  ],
  [
    /^libtensorrt_rtx\w*\.so\.(\d+)$/,
    (major) => package_(`TensorRT RTX ${major}`, `TensorRT for RTX ${major}`),
  ],
  [
    /^libopenvino\w*\.so\.(\d+)$/,
    (major) =>
      package_(`OpenVINO ${major}`, 'the OpenVINO runtime that this provider was built with, beside it'),
  ],
  [/^libvulkan\.so\.1$/, () => package_('Vulkan', 'libvulkan1')],
  [/^libgomp\.so\.1$/, () => package_('GNU OpenMP', 'libgomp1')],
  [/^libtbb\.so\.(\d+)$/, (major) => package_('Intel TBB', `libtbb${major}`)],
  [/^libstdc\+\+\.so\.6$/, () => package_('the C++ library', 'libstdc++6')],
  [/^libgcc_s\.so\.1$/, () => package_('the GCC library', 'libgcc-s1')],
  [/^libz\.so\.1$/, () => package_('zlib', 'zlib1g')],
  [
    /^lib(?:c\.musl|musl)|^ld-musl/,
    () => ({ what: 'the C library of Alpine', fix: 'take a build for glibc: this one is for Alpine Linux' }),
  ],
  [
    /^libonnxruntime\w*\.so/,
    () => ({ what: 'ONNX Runtime', fix: 'copy all files of one build of ONNX Runtime into one folder' }),
  ],
]

/** Of all that one library lacks: who needs which CUDA is seen by the library that bears its number. */
export function originOf(name: string, cuda: string | undefined): Origin {
  for (const [pattern, origin] of RULES) {
    const match = pattern.exec(name)
    if (match !== null) return origin(match[1] ?? '', cuda)
  }
  return { what: '', fix: `install the package that brings ${name}` }
}

/** "13" of libcudart.so.13: the parts of CUDA that bear another number are no sign. */
export function cudaMajorOf(names: readonly string[]): string | undefined {
  return names
    .map((name) => /^lib(?:cudart|cublas|cublasLt)\.so\.(\d+)$/.exec(name)?.[1])
    .find((major) => major !== undefined)
}

/** "libcudart.so.13 and libcublas.so.13 (CUDA 13), libcuda.so.1 (the NVIDIA driver)". */
export function describeMissing(
  missing: readonly Missing[],
  cuda: string | undefined,
): { text: string; fix: string } {
  const groups = new Map<string, { names: string[]; fix: string; unfit: string[] }>()
  for (const { name, unfit } of missing) {
    const { what, fix } = originOf(name, cuda)
    const group = groups.get(what) ?? { names: [], fix: '', unfit: [] }
    group.names.push(name)
    group.unfit.push(...unfit)
    group.fix = group.fix === '' || group.fix === fix ? fix : `${group.fix}\n${fix}`
    groups.set(what, group)
  }
  const entries = [...groups]
  const texts = entries.map(([what, { names, unfit }]) => {
    const found = unfit.length === 0 ? '' : `, what lies there does not do: ${unfit.join(', ')}`
    return `${list(names)}${what === '' ? '' : ` (${what})`}${found}`
  })
  return { text: texts.join('; '), fix: [...new Set(entries.map(([, { fix }]) => fix))].join('\n') }
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** Which GCC's libstdc++ has it first (GCC's manual, "ABI Policy and Guidelines"). */
const GCC_BY_GLIBCXX: Readonly<Record<string, string>> = {
  29: '11',
  30: '12',
  31: '13',
  32: '13',
  33: '14',
  34: '15',
}

/** "wants GLIBC_2.38 of libc.so.6, which has up to GLIBC_2.36". */
export function describeVersions(versions: readonly VersionMissing[]): { text: string; fix: string } {
  const texts = versions.map(({ version, name, path, newest }) => {
    const has = newest === undefined ? 'does not have it' : `has up to ${newest}`
    return `${version} of ${name}, and "${path}" ${has}`
  })
  return { text: texts.join('; '), fix: [...new Set(versions.map(fixOfVersion))].join('\n') }
}

function fixOfVersion({ version, name }: VersionMissing): string {
  const glibc = /^GLIBC_(.+)$/.exec(version)?.[1]
  if (glibc !== undefined)
    return `take a build for glibc ${glibc} or older, or a system with glibc ${glibc} or newer: the C library cannot be changed alone`
  const glibcxx = /^GLIBCXX_3\.4\.(\d+)$/.exec(version)?.[1]
  const gcc = glibcxx === undefined ? undefined : GCC_BY_GLIBCXX[glibcxx]
  if (gcc !== undefined)
    return `bring in libstdc++6 of GCC ${gcc} or newer, or take a build for an older system`
  return `bring in a newer ${name}, or take a build for an older system`
}
