/** Entry of the thread that asks the GPUs: the driver may take its time, or never come back. */
import type { GpuReading } from './gpu-sample.ts'
import { openNvml } from './nvml.ts'

declare const self: {
  onmessage: ((event: { data: { readonly library: string } }) => void) | null
  postMessage(reading: GpuReading): void
}

let nvml: ReturnType<typeof openNvml> | undefined

self.onmessage = ({ data }) => {
  nvml ??= openNvml(data.library)
  self.postMessage('sample' in nvml ? nvml.sample() : nvml)
}
