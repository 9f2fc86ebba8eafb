import { GpuWatch } from '../health/gpu-watch.ts'
import { NVML_LIBRARY } from '../health/nvml.ts'
import { Processors } from '../health/processors.ts'
import type { MachineSample } from '../http/machine-metrics.ts'
import type { Clock } from '../kit/clock.ts'

/** What the machine says of itself, asked anew each time. */
export function watchMachine(clock: Clock): () => Promise<MachineSample> {
  const processors = new Processors(clock)
  const gpus = new GpuWatch({ library: NVML_LIBRARY, clock })
  return async () => {
    const [sample, all] = await Promise.all([processors.sample(), gpus.sample()])
    return { processors: sample, gpus: all }
  }
}
