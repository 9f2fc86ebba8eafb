import type { Instances } from './instances.ts'
import { type MessageReader, pickOwn, type TextEntry } from './reader.ts'

/** An execution provider and its options, in ONNX Runtime's words. */
interface Provider {
  readonly name: string
  readonly options: Readonly<Record<string, string>>
}

export interface Accelerators {
  readonly gpu: readonly Provider[]
  readonly cpu: readonly Provider[]
}

/** Other words of Triton's than ONNX Runtime's; all others begin with "trt_" and are the same. */
const TENSORRT_OPTIONS: Readonly<Record<string, string>> = {
  max_workspace_size_bytes: 'trt_max_workspace_size',
  int8_calibration_table_name: 'trt_int8_calibration_table_name',
  int8_use_native_calibration_table: 'trt_int8_use_native_calibration_table',
}

const PRECISIONS: Readonly<Record<string, Provider['options']>> = {
  FP32: {},
  FP16: { trt_fp16_enable: '1' },
  BF16: { trt_bf16_enable: '1' },
  INT8: { trt_int8_enable: '1' },
}

/** `optimization.execution_accelerators`. */
export function readAccelerators(message: MessageReader | undefined): Accelerators {
  const gpu = message?.messages('gpu_execution_accelerator').flatMap(readGpu) ?? []
  const cpu = message?.messages('cpu_execution_accelerator').flatMap(readCpu) ?? []
  message?.finish()
  return { gpu, cpu }
}

/**
 * Triton's order: accelerators of the GPU, CUDA, accelerators of the CPU, CPU. Undefined leaves it to the firmware
 * profile. A config that names an accelerator of the GPU wants the GPU, also without saying so in a group.
 */
export function chooseProviders(
  config: MessageReader,
  from: { instances: Instances; accelerators: Accelerators; cuda: Provider['options'] },
): Provider[] | undefined {
  const { instances, accelerators } = from
  const cpu = [...accelerators.cpu, { name: 'cpu', options: {} }]
  const wantsGpu = accelerators.gpu.length > 0 || Object.keys(from.cuda).length > 0
  if (instances.kind === 'cpu') {
    if (wantsGpu) config.refuse('instance_group', 'says KIND_CPU, but options of the GPU are there too')
    return cpu
  }
  if (instances.kind === 'auto' && !wantsGpu) return accelerators.cpu.length > 0 ? cpu : undefined
  const device = instances.device === undefined ? {} : { device_id: String(instances.device) }
  const others = accelerators.gpu.filter(({ name }) => name !== 'cuda')
  const named = accelerators.gpu.filter(({ name }) => name === 'cuda').map(({ options }) => options)
  const cuda = { name: 'cuda', options: Object.assign({}, from.cuda, ...named) as Provider['options'] }
  // Who names another maker's accelerator, and no GPU of NVIDIA in any other way, does not want CUDA.
  const isOther = ({ name }: Provider) => !NVIDIA.includes(name)
  const wantsCuda =
    instances.kind === 'gpu' || Object.keys(from.cuda).length > 0 || !accelerators.gpu.every(isOther)
  const gpu = [...others, ...(wantsCuda ? [cuda] : [])].map((provider) =>
    isOther(provider) ? provider : { ...provider, options: { ...provider.options, ...device } },
  )
  return [...gpu, ...cpu]
}

/** They take the number of the GPU; which device others run on, their own options say. */
const NVIDIA: readonly string[] = ['tensorrt', 'cuda']

function readGpu(message: MessageReader): Provider[] {
  const name = message.text('name')
  const parameters = message.texts('parameters')
  message.finish()
  if (name === 'cuda') return [{ name, options: plainOptions(parameters) }]
  if (name === 'tensorrt') return [{ name, options: tensorrtOptions(parameters) }]
  if (name === 'openvino' || name === 'webgpu') return [{ name, options: plainOptions(parameters) }]
  if (name === PLUG_IN) return readPlugIn(message, parameters)
  message.refuse(
    'name',
    `is ${quote(name)}, expected "tensorrt", "cuda", "openvino", "webgpu" or "${PLUG_IN}"`,
  )
  return []
}

/** Triton has none: one of the device's runtime.provider_libraries, by its name. */
const PLUG_IN = 'plug_in'

function readPlugIn(message: MessageReader, parameters: Parameters): Provider[] {
  const { provider, ...options } = plainOptions(parameters)
  if (provider !== undefined) return [{ name: provider, options }]
  message.refuse('parameters', 'need "provider", the name of one of runtime.provider_libraries')
  return []
}

function readCpu(message: MessageReader): Provider[] {
  const name = message.text('name')
  const parameters = message.texts('parameters')
  message.finish()
  if (name === 'openvino' || name === 'xnnpack') return [{ name, options: plainOptions(parameters) }]
  if (name === PLUG_IN) return readPlugIn(message, parameters)
  message.refuse('name', `is ${quote(name)}, expected "openvino", "xnnpack" or "${PLUG_IN}"`)
  return []
}

type Parameters = ReadonlyMap<string, TextEntry>

/** ONNX Runtime names what it does not know. */
function plainOptions(parameters: Parameters): Provider['options'] {
  return Object.fromEntries([...parameters].map(([key, { text }]) => [key, text]))
}

function tensorrtOptions(parameters: Parameters): Provider['options'] {
  const options: Record<string, string> = {}
  for (const [key, { text, entry }] of parameters) {
    const renamed = key.startsWith('trt_') ? key : pickOwn(TENSORRT_OPTIONS, key)
    if (key === 'precision_mode') Object.assign(options, readPrecision(entry, text))
    else if (renamed !== undefined) options[renamed] = text
    else {
      const known = ['precision_mode', ...Object.keys(TENSORRT_OPTIONS), 'trt_…'].join(', ')
      entry.refuse('key', `"${key}" is unknown to TensorRT, expected ${known}`)
    }
  }
  return options
}

function readPrecision(entry: MessageReader, text: string): Provider['options'] {
  const options = pickOwn(PRECISIONS, text)
  if (options === undefined) {
    entry.refuse('value', `precision_mode is "${text}", expected ${Object.keys(PRECISIONS).join(', ')}`)
  }
  return options ?? {}
}

function quote(name: string | undefined): string {
  return name === undefined ? 'missing' : `"${name}"`
}
