import { readFileSync, realpathSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProfileChoice } from '../../config/profile-choice.ts'
import type { GpuSample } from '../../health/gpu-sample.ts'
import { GpuWatch } from '../../health/gpu-watch.ts'
import { NVML_LIBRARY } from '../../health/nvml.ts'
import { systemClock } from '../../kit/clock.ts'

/** NVIDIA's GPUs and their driver. What else computes is a matter of the providers. */
export interface GpuFacts {
  /** On PCI, "10de:26b9". */
  readonly onPci: readonly string[]
  readonly isJetson: boolean
  /** Of JetPack, "12.6". */
  readonly jetpackCuda: string | undefined
  /** Of the kernel's module, "535.129.03"; undefined: it is not loaded. */
  readonly module: string | undefined
  /** Of libcuda.so.1 and the like, as far as its file says it. */
  readonly library: string | undefined
  /** Of the libraries that are there: which CUDA, and who wants it. */
  readonly cudaWanted: { readonly major: number; readonly by: string } | undefined
  /** Of the profile: "sm61". */
  readonly capability: number | undefined
  readonly gpus: readonly GpuSample[]
  readonly problem: string | undefined
  /** The config names a provider that needs one. */
  readonly isNamed: boolean
}

export async function lookAtGpus(
  profile: ProfileChoice,
  more: {
    readonly factsRoot: string
    readonly libcuda: string | undefined
    readonly cudaWanted: GpuFacts['cudaWanted']
    readonly isNamed: boolean
  },
): Promise<GpuFacts> {
  const watch = new GpuWatch({ library: NVML_LIBRARY, clock: systemClock })
  const gpus = await watch.sample()
  watch.stop()
  const { facts, generation } = profile
  const capability = profile.profile.hardware
    .map((name) => /^sm(\d+)$/.exec(name)?.[1])
    .find((sm) => sm !== undefined)
  return {
    onPci: facts.gpus.filter((id) => id.startsWith('10de:')),
    isJetson: facts.l4t !== undefined,
    jetpackCuda: generation?.cuda,
    module: readModuleVersion(more.factsRoot),
    library: more.libcuda === undefined ? undefined : libraryVersion(more.libcuda),
    cudaWanted: more.cudaWanted,
    capability: capability === undefined ? undefined : Number(capability),
    gpus,
    problem: watch.problem,
    isNamed: more.isNamed,
  }
}

/** "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 …". */
function readModuleVersion(root: string): string | undefined {
  try {
    const text = readFileSync(join(root, 'proc/driver/nvidia/version'), 'utf8')
    return /Kernel Module(?: for \S+)?\s+(\d+\.[\d.]+)/.exec(text)?.[1]
  } catch {
    return undefined
  }
}

/** The driver's libraries end with its version: "libcuda.so.535.129.03". */
function libraryVersion(path: string): string | undefined {
  return /\.so\.(\d{3}\.[\d.]+)$/.exec(basename(realpathSync(path)))?.[1]
}
