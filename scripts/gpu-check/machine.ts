/** What GPU there is, and which providers could run here. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Options } from './stage.ts'
import { NotRun } from './table.ts'

export interface ProviderCase {
  /** As a config names it. */
  readonly name: 'cuda' | 'tensorrt' | 'webgpu'
  /** Which ONNX Runtime: the one for GPUs, or the one inside the binary, of which some have WebGPU. */
  readonly library: 'for GPUs' | 'inside'
  /** Files that have to be there: beside ONNX Runtime, or wherever the system looks for libraries. */
  readonly needs: readonly string[]
  /** Also answers within this of what the processor answers: matrix products of TF32 have ten bits. */
  readonly tolerance: number
}

/** CUDA's part of NVIDIA's driver. */
export const DRIVER = 'libcuda.so.1'
const VULKAN = 'libvulkan.so.1'

export const PROVIDERS: readonly ProviderCase[] = [
  { name: 'cuda', library: 'for GPUs', needs: ['libonnxruntime_providers_cuda.so', DRIVER], tolerance: 0.01 },
  {
    name: 'tensorrt',
    library: 'for GPUs',
    needs: ['libonnxruntime_providers_tensorrt.so', 'libnvinfer.so.10', DRIVER],
    tolerance: 0.01,
  },
  { name: 'webgpu', library: 'inside', needs: [VULKAN], tolerance: 0.01 },
  {
    name: 'webgpu',
    library: 'for GPUs',
    needs: ['libonnxruntime_providers_webgpu.so', VULKAN],
    tolerance: 0.01,
  },
]

/** Undefined where there is none, or none is to be used. */
export function findGpu(): string | undefined {
  if (!existsSync('/proc/driver/nvidia/version') && !existsSync('/dev/nvidiactl')) return undefined
  const asked = [
    'nvidia-smi',
    '--query-gpu=name,driver_version,compute_cap,memory.total',
    '--format=csv,noheader',
  ]
  try {
    const { stdout, success } = Bun.spawnSync(asked, { stderr: 'ignore' })
    if (success) return stdout.toString().trim()
  } catch {
    // Without the tool it is a GPU all the same.
  }
  return 'an NVIDIA GPU, of which nvidia-smi says nothing'
}

/** Says what is wanting. */
export function demand(
  gpu: string | undefined,
  { libraries }: Options,
  { needs, library }: Pick<ProviderCase, 'needs' | 'library'>,
): void {
  if (gpu === undefined) throw new NotRun('no NVIDIA GPU')
  if (library === 'for GPUs' && libraries === undefined)
    throw new NotRun('no build of ONNX Runtime for GPUs (--libraries)')
  const missing = needs.filter((file) => !existsSync(join(libraries ?? '', file)) && !isKnown(file))
  if (missing.length > 0) throw new NotRun(`no ${missing.join(', no ')}`)
}

/** To whoever loads libraries on this system. */
export function isKnown(file: string): boolean {
  const folders = (process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '')
  if (folders.some((folder) => existsSync(join(folder, file)))) return true
  const listed = Bun.spawnSync(['sh', '-c', '/sbin/ldconfig -p'], { stderr: 'ignore' }).stdout.toString()
  return listed.includes(`\t${file} `)
}

/** A config that has models run on these, in this order. */
export function settingsFor(libraries: string | undefined, providers: readonly string[]): string {
  const plugin = join(libraries ?? '', 'libonnxruntime_providers_webgpu.so')
  return [
    '[runtime]',
    `providers = ${JSON.stringify(providers)}`,
    ...(libraries === undefined ? [] : [`library = "${join(libraries, 'libonnxruntime.so')}"`]),
    ...(providers.includes('webgpu') && libraries !== undefined
      ? [`provider_libraries = [{ name = "webgpu", path = "${plugin}" }]`]
      : []),
    '',
  ].join('\n')
}
