import type { ProviderChoice } from './backend.ts'

/** What sizes an input may have. */
export interface ShapeRange {
  readonly min: readonly number[]
  readonly opt: readonly number[]
  readonly max: readonly number[]
}

export type InputShapes = Readonly<Record<string, readonly ShapeRange[]>>

/** How a model is to run on a GPU, in words that no provider has of its own. */
export interface GpuSettings {
  readonly device?: number | undefined
  readonly precision: readonly ('fp32' | 'fp16' | 'bf16' | 'int8')[]
  /** A path. */
  readonly calibrationTable?: string | undefined
  readonly dlaCore?: number | undefined
  readonly workspaceBytesMax?: number | undefined
  readonly memoryBytesMax?: number | undefined
  readonly subgraphNodesMin?: number | undefined
  readonly builderLevel?: number | undefined
  readonly layout?: 'nchw' | 'nhwc' | undefined
  readonly convolutionSearch?: 'exhaustive' | 'heuristic' | 'default' | undefined
  readonly tf32?: boolean | undefined
  /** What a run launches is captured once and played again from then on. */
  readonly cudaGraph?: boolean | undefined
  /** Tensors pass through memory that the device reads and writes itself; undefined: yes. */
  readonly bindsMemory?: boolean | undefined
  readonly shapes: InputShapes
}

type Options = Record<string, string>
/** Undefined: the setting was left open. */
type Wish = string | number | boolean | undefined

/** Each provider's own words for them. */
const TRANSLATIONS: Readonly<Record<string, (gpu: GpuSettings) => Record<string, Wish>>> = {
  CUDAExecutionProvider: (gpu) => ({
    device_id: gpu.device,
    gpu_mem_limit: gpu.memoryBytesMax,
    prefer_nhwc: gpu.layout === undefined ? undefined : gpu.layout === 'nhwc',
    cudnn_conv_algo_search: gpu.convolutionSearch?.toUpperCase(),
    use_tf32: gpu.tf32,
    enable_cuda_graph: gpu.cudaGraph || undefined,
  }),
  TensorrtExecutionProvider: (gpu) => ({
    device_id: gpu.device,
    trt_max_workspace_size: gpu.workspaceBytesMax,
    trt_min_subgraph_size: gpu.subgraphNodesMin,
    trt_builder_optimization_level: gpu.builderLevel,
    trt_fp16_enable: wants(gpu, 'fp16'),
    trt_bf16_enable: wants(gpu, 'bf16'),
    trt_int8_enable: wants(gpu, 'int8'),
    trt_int8_calibration_table_name: gpu.calibrationTable,
    trt_dla_enable: gpu.dlaCore === undefined ? undefined : true,
    trt_dla_core: gpu.dlaCore,
    trt_cuda_graph_enable: gpu.cudaGraph || undefined,
    ...shapeOptions('trt', gpu.shapes),
  }),
  // It computes in the types that the model has: precision is no setting of it.
  NvTensorRTRTXExecutionProvider: (gpu) => ({
    device_id: gpu.device,
    nv_max_workspace_size: gpu.workspaceBytesMax,
    enable_cuda_graph: gpu.cudaGraph || undefined,
    ...shapeOptions('nv', gpu.shapes),
  }),
}

/** What ONNX Runtime calls a provider, whatever a config does. */
export type NameOf = (name: string) => string

/** Builds engines for the shapes that it is told. */
export function wantsShapes(fullName: string): boolean {
  return fullName === 'TensorrtExecutionProvider' || fullName === 'NvTensorRTRTXExecutionProvider'
}

/**
 * The providers with what the settings come to in their words. What a provider's own options say already counts, and is
 * a problem where the settings say something else: nobody could tell which of the two was meant.
 */
export function applyGpuSettings(
  providers: readonly ProviderChoice[],
  { gpu, nameOf }: { gpu: GpuSettings; nameOf: NameOf },
): { providers: readonly ProviderChoice[]; problems: readonly string[] } {
  const problems: string[] = []
  const applied = providers.map((choice) => {
    const wished = optionsFor(nameOf(choice.name), gpu)
    for (const [key, value] of Object.entries(wished)) {
      const own = choice.options[key]
      if (own !== undefined && own !== value)
        problems.push(
          `"${choice.name}" has ${key} = "${own}" among its options, session.gpu makes it "${value}"`,
        )
    }
    return { ...choice, options: { ...wished, ...choice.options } }
  })
  return { providers: applied, problems: [...problems, ...applied.flatMap(contradictions)] }
}

/** It plays runs again, wherever its options come from. */
export function playsGraphs({ options }: ProviderChoice): boolean {
  return Object.entries(options).some(([key, value]) => GRAPH_OPTIONS.includes(key) && isTrue(value))
}

const GRAPH_OPTIONS = ['enable_cuda_graph', 'trt_cuda_graph_enable', 'nv_cuda_graph_enable']

function isTrue(value: string | undefined): boolean {
  return /^(1|true)$/i.test(value ?? '')
}

/** Of a provider's options as they will be, wherever each comes from. */
function contradictions({ name, options }: ProviderChoice): string[] {
  const isOn = (key: string) => isTrue(options[key])
  const isHalf = isOn('trt_fp16_enable') || isOn('trt_int8_enable')
  const dla =
    isOn('trt_dla_enable') && !isHalf
      ? [`"${name}" has trt_dla_enable, which takes trt_fp16_enable or trt_int8_enable beside it`]
      : []
  const bounds = ['min', 'opt', 'max'].map((bound) => `_profile_${bound}_shapes`)
  const keys = Object.keys(options).filter((key) => bounds.some((bound) => key.endsWith(bound)))
  const isWhole = keys.length === 0 || keys.length === bounds.length
  return [
    ...dla,
    ...(isWhole ? [] : [`"${name}" has ${keys.join(', ')} alone, min, opt and max belong together`]),
  ]
}

function optionsFor(fullName: string, gpu: GpuSettings): Options {
  const wishes = TRANSLATIONS[fullName]?.(gpu) ?? {}
  const said = Object.entries(wishes).filter(([, value]) => value !== undefined)
  return Object.fromEntries(said.map(([key, value]) => [key, toText(value)]))
}

function toText(value: Wish): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value)
}

/** Left open where it is not wanted: an option of the provider's own may want it. */
function wants({ precision }: GpuSettings, which: GpuSettings['precision'][number]): Wish {
  return precision.includes(which) ? true : undefined
}

/** "images:1x3x640x640,mask:1x640x640": of several profiles the first of each input, then the second of each. */
function shapeOptions(prefix: 'trt' | 'nv', shapes: InputShapes): Record<string, Wish> {
  const inputs = Object.entries(shapes)
  const profiles = inputs[0]?.[1].length ?? 0
  if (profiles === 0) return {}
  const write = (bound: keyof ShapeRange) =>
    Array.from({ length: profiles }, (_, profile) =>
      inputs.map(([name, ranges]) => `${name}:${(ranges[profile]?.[bound] ?? []).join('x')}`),
    )
      .flat()
      .join(',')
  return {
    [`${prefix}_profile_min_shapes`]: write('min'),
    [`${prefix}_profile_opt_shapes`]: write('opt'),
    [`${prefix}_profile_max_shapes`]: write('max'),
  }
}
