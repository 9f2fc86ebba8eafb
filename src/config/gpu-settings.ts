import { z } from 'zod'

const Shape = z.array(z.int().min(0)).min(1)

/** What sizes an input may have, and which one is worth the most. */
const ShapeRange = z.strictObject({ min: Shape, opt: Shape, max: Shape }).check(({ value, issues }) => {
  const refuse = (message: string) => issues.push({ code: 'custom', message, input: value })
  const { min, opt, max } = value
  if (min.length !== opt.length || opt.length !== max.length) {
    refuse(
      `min, opt and max have ${min.length}, ${opt.length} and ${max.length} dimensions, expected as many each`,
    )
    return
  }
  for (const [axis, least] of min.entries()) {
    const [best, most] = [opt[axis] ?? 0, max[axis] ?? 0]
    if (least > best || best > most)
      refuse(`dimension ${axis} is ${least} to ${most} with ${best} in mind, expected min <= opt <= max`)
  }
})

const Precision = z.enum(['fp32', 'fp16', 'bf16', 'int8'])

/** How a model runs on a GPU, in words that hold for each provider of it; providers that are none of these pass it over. */
export const GpuSettings = z
  .strictObject({
    /** Which GPU, where there are several. */
    device: z.int().min(0).max(1024).optional(),
    /** What TensorRT may compute in, beside FP32. */
    precision: z.union([Precision.transform((one) => [one]), z.array(Precision).min(1)]).default(['fp32']),
    /** A file beside the model: ranges for INT8 where the model itself has none (QuantizeLinear). */
    calibration_table: z
      .string()
      .regex(/^[^/\\]+$/)
      .optional(),
    /** A Jetson's deep learning accelerator; layers that it cannot run go to the GPU. */
    dla_core: z.int().min(0).max(15).optional(),
    /** Scratch memory of TensorRT's layers. */
    workspace_bytes_max: z.int().min(1).optional(),
    /** What CUDA may take for weights and runs of one model. */
    memory_bytes_max: z.int().min(1).optional(),
    /** Subgraphs of fewer nodes are left to the next provider. */
    subgraph_nodes_min: z.int().min(1).max(10_000).optional(),
    /** How long TensorRT looks for the fastest kernels. */
    builder_level: z.int().min(0).max(5).optional(),
    layout: z.enum(['nchw', 'nhwc']).optional(),
    convolution_search: z.enum(['exhaustive', 'heuristic', 'default']).optional(),
    tf32: z.boolean().optional(),
    /** What a run launches is captured once and played again: for models whose inputs and outputs have one shape each. */
    cuda_graph: z.boolean().default(false),
    /** Tensors pass through memory of the host that the device reads and writes itself; false is for measuring what it brings. */
    io_binding: z.boolean().default(true),
    /** By input; several of one input are several profiles, and all inputs have as many. */
    shapes: z
      .record(
        z.string(),
        z.preprocess((value) => (Array.isArray(value) ? value : [value]), z.array(ShapeRange).min(1).max(16)),
      )
      .default({}),
  })
  .check(({ value, issues }) => {
    for (const { path, message } of contradictions(value))
      issues.push({ code: 'custom', path: [path], message, input: value })
  })

export type GpuSettings = z.infer<typeof GpuSettings>

/** What is right by itself and cannot be together. */
function contradictions(gpu: {
  precision: readonly string[]
  calibration_table?: string | undefined
  dla_core?: number | undefined
  cuda_graph: boolean
  io_binding: boolean
  shapes: Readonly<Record<string, readonly unknown[]>>
}): { path: string; message: string }[] {
  const problems: { path: string; message: string }[] = []
  const has = (precision: string) => gpu.precision.includes(precision)
  if (gpu.dla_core !== undefined && !has('fp16') && !has('int8')) {
    const came = gpu.precision.join(', ')
    problems.push({
      path: 'dla_core',
      message: `the accelerator computes in fp16 or int8, precision is ${came}`,
    })
  }
  if (gpu.calibration_table !== undefined && !has('int8'))
    problems.push({ path: 'calibration_table', message: 'is for precision int8, which is not there' })
  const counts = Object.entries(gpu.shapes).map(([input, ranges]) => `"${input}" ${ranges.length}`)
  if (new Set(Object.values(gpu.shapes).map(({ length }) => length)).size > 1)
    problems.push({ path: 'shapes', message: `expected as many of each input: ${counts.join(', ')}` })
  if (gpu.cuda_graph && !gpu.io_binding)
    problems.push({ path: 'cuda_graph', message: 'needs io_binding: a graph is played on fixed addresses' })
  const comma = Object.keys(gpu.shapes).find((input) => input.includes(','))
  if (comma !== undefined)
    problems.push({ path: 'shapes', message: `TensorRT takes no name with a comma in it: "${comma}"` })
  return problems
}
