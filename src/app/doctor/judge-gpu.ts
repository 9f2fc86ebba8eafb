import type { GpuSample } from '../../health/gpu-sample.ts'
import { type Check, checksOf } from './check.ts'
import type { GpuFacts } from './gpu.ts'

const { ok, note, warning, fault } = checksOf('gpu')

export function judgeGpus(facts: GpuFacts): Check[] {
  const { onPci, isJetson, module, gpus, problem } = facts
  const hasHardware = onPci.length > 0 || isJetson
  if (gpus.length === 0 && !hasHardware && module === undefined) {
    return [note('none', `no NVIDIA GPU${problem === undefined ? '' : `: ${shortOf(problem)}`}`)]
  }
  return [
    ...gpus.map(describeGpu),
    ...judgeDriver(facts),
    ...(isJetson ? judgeJetpack(facts) : judgeCuda(facts)),
    ...judgeCapability(facts),
  ]
}

/** The dynamic linker says the same at length. */
function shortOf(problem: string): string {
  const name = /"([^"]+)": .*cannot open shared object file: No such file/.exec(problem)?.[1]
  return name === undefined ? problem : `there is no ${name}`
}

function describeGpu({ uuid, memoryBytesTotal, temperatureCelsius }: GpuSample): Check {
  const memory =
    memoryBytesTotal === undefined ? 'memory unknown' : `${(memoryBytesTotal / 2 ** 30).toFixed(1)} GiB`
  const heat = temperatureCelsius === undefined ? '' : `, ${temperatureCelsius} °C`
  return ok('gpu', `${uuid}, ${memory}${heat}`, { facts: { uuid, memory_bytes: memoryBytesTotal ?? null } })
}

function judgeDriver(facts: GpuFacts): Check[] {
  const { onPci, module, library, gpus, problem, isNamed, isJetson } = facts
  const bad = isNamed ? fault : warning
  if (module !== undefined && library !== undefined && module !== library) {
    const text = `the NVIDIA driver is of two minds: the kernel has loaded ${module}, its libraries are ${library}`
    return [
      bad('driver_mixed', text, {
        fix: 'restart the machine: the driver was changed while it ran',
        facts: { module, library },
      }),
    ]
  }
  if (module === undefined && gpus.length === 0 && !isJetson) {
    const text = `NVIDIA GPU ${onPci.join(', ')} is on PCI, but its driver is not loaded`
    return [
      bad('driver_absent', text, {
        fix: 'install the NVIDIA driver, and look for "nvidia" in "dmesg" and "lsmod" where it is; a container has to be started with the NVIDIA runtime',
      }),
    ]
  }
  if (problem !== undefined)
    return [(isJetson ? note : bad)('nvml', wordsOf(problem), { facts: { said: problem } })]
  return module === undefined ? [] : [ok('driver', `NVIDIA driver ${module}`, { facts: { version: module } })]
}

/** nvmlReturn_t, as far as a person can do something about it. */
const NVML_CODES: Readonly<Record<string, string>> = {
  4: 'this user may not ask the GPU: add it to the groups "video" and "render"',
  9: 'the driver is not loaded: restart the machine, or load the kernel module "nvidia"',
  15: 'the GPU has fallen off the bus: look at its power and its slot, then restart the machine',
  18: "the driver's kernel module and its libraries are of different versions: restart the machine",
}

function wordsOf(problem: string): string {
  const code = / says (\d+),/.exec(problem)?.[1]
  const words = code === undefined ? undefined : NVML_CODES[code]
  return words === undefined ? `its figures cannot be had: ${problem}` : `${words} (${problem})`
}

/** NVIDIA's "CUDA Compatibility": the oldest driver on which programs of a CUDA run. */
const DRIVER_MIN: Readonly<Record<number, string>> = { 11: '450.80.02', 12: '525.60.13', 13: '580.65.06' }

function judgeCuda({ module, cudaWanted, isNamed }: GpuFacts): Check[] {
  if (module === undefined || cudaWanted === undefined) return []
  const { major, by } = cudaWanted
  const least = DRIVER_MIN[major]
  const facts = { driver: module, cuda_major: major, driver_min: least ?? null }
  if (least === undefined)
    return [
      note(
        'cuda',
        `driver ${module}, and ${by} wants CUDA ${major}: whether they go together is not known here`,
        { facts },
      ),
    ]
  if (compareVersions(module, least) >= 0)
    return [
      ok('cuda', `driver ${module} runs CUDA ${major}, which ${by} wants (${least} and newer do)`, { facts }),
    ]
  const text = `driver ${module} is too old: ${by} wants CUDA ${major}, which needs driver ${least} or newer`
  const fix = `bring in driver ${least.split('.')[0]} or newer, or take a build of ONNX Runtime for an older CUDA`
  return [(isNamed ? fault : warning)('cuda', text, { fix, facts })]
}

/** There driver and CUDA come with JetPack. */
function judgeJetpack({ jetpackCuda, cudaWanted, isNamed }: GpuFacts): Check[] {
  if (jetpackCuda === undefined || cudaWanted === undefined) return []
  const { major, by } = cudaWanted
  const facts = { jetpack_cuda: jetpackCuda, cuda_major: major }
  if (Number.parseInt(jetpackCuda, 10) >= major)
    return [ok('cuda', `JetPack's CUDA ${jetpackCuda} is what ${by} wants`, { facts })]
  const fix = `take a build of ONNX Runtime for CUDA ${Number.parseInt(jetpackCuda, 10)}, as made for this JetPack`
  return [
    (isNamed ? fault : warning)('cuda', `${by} wants CUDA ${major}, JetPack brings CUDA ${jetpackCuda}`, {
      fix,
      facts,
    }),
  ]
}

/** CUDA 13 leaves out what is older than Turing. */
const CAPABILITY_MIN: Readonly<Record<number, number>> = { 12: 50, 13: 75 }

function judgeCapability({ capability, cudaWanted, isNamed }: GpuFacts): Check[] {
  const least = cudaWanted === undefined ? undefined : CAPABILITY_MIN[cudaWanted.major]
  if (capability === undefined || cudaWanted === undefined || least === undefined || capability >= least)
    return []
  const words = (value: number) => `${Math.floor(value / 10)}.${value % 10}`
  const text = `this GPU has compute capability ${words(capability)}, CUDA ${cudaWanted.major} runs from ${words(least)} on`
  const fix = `take a build of ONNX Runtime for CUDA ${cudaWanted.major - 1}`
  return [
    (isNamed ? fault : warning)('capability', text, { fix, facts: { capability, capability_min: least } }),
  ]
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
