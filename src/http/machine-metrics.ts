import type { GpuSample } from '../health/gpu-sample.ts'
import type { ProcessorSample } from '../health/processors.ts'
import type { Family } from '../kit/metrics-text.ts'

export interface MachineSample {
  readonly processors: ProcessorSample | undefined
  readonly gpus: readonly GpuSample[]
}

type Row<T> = readonly [
  name: string,
  help: string,
  type: 'counter' | 'gauge',
  value: (of: T) => number | undefined,
]

/** Triton's names and units. Clients look for exactly one label, `gpu_uuid`: a second one breaks them. */
const GPU: readonly Row<GpuSample>[] = [
  ['nv_gpu_utilization', 'GPU utilization rate [0.0 - 1.0)', 'gauge', (of) => of.utilization],
  ['nv_gpu_memory_total_bytes', 'GPU total memory, in bytes', 'gauge', (of) => of.memoryBytesTotal],
  ['nv_gpu_memory_used_bytes', 'GPU used memory, in bytes', 'gauge', (of) => of.memoryBytesUsed],
  ['nv_gpu_power_usage', 'GPU power usage in watts', 'gauge', (of) => of.powerWatts],
  ['nv_gpu_power_limit', 'GPU power management limit in watts', 'gauge', (of) => of.powerLimitWatts],
  [
    'nv_energy_consumption',
    'GPU energy consumption in joules since the driver was loaded',
    'counter',
    (of) => of.energyJoules,
  ],
]

const PROCESSORS: readonly Row<ProcessorSample>[] = [
  ['nv_cpu_utilization', 'CPU utilization rate [0.0 - 1.0]', 'gauge', (of) => of.utilization],
  ['nv_cpu_memory_total_bytes', 'CPU total memory (RAM), in bytes', 'gauge', (of) => of.memoryBytesTotal],
  ['nv_cpu_memory_used_bytes', 'CPU used memory (RAM), in bytes', 'gauge', (of) => of.memoryBytesUsed],
]

/** What the machine does not have, or does not say, is not there at all: a 0 would be a lie. */
export function machineFamilies({ processors, gpus }: MachineSample): Family[] {
  const gpuFamilies = GPU.map(([name, help, type, value]): Family => {
    const samples = gpus.flatMap((gpu) => sampleOf({ gpu_uuid: gpu.uuid }, value(gpu)))
    return { name, help, type, samples }
  })
  const processorFamilies = PROCESSORS.map(([name, help, type, value]): Family => {
    const samples = processors === undefined ? [] : sampleOf({}, value(processors))
    return { name, help, type, samples }
  })
  return [...gpuFamilies, ...processorFamilies].filter(({ samples }) => samples.length > 0)
}

function sampleOf(labels: Readonly<Record<string, string>>, value: number | undefined) {
  return value === undefined ? [] : [{ labels, value }]
}
