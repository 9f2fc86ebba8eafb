import { type Accelerators, readAccelerators } from './accelerators.ts'
import type { MessageReader } from './reader.ts'
import { refuseTrue } from './refusals.ts'

/** As Triton's onnxruntime backend has them; -1 is not "none" there either. */
const GRAPH_LEVELS: Readonly<Record<number, string>> = { [-1]: 'basic', 0: 'all', 1: 'extended', 2: 'none' }

const ONLY_TENSORRT = 'only plans of TensorRT have it in Triton'

/** Triton's `ModelOptimizationPolicy`. */
export function readOptimization(optimization: MessageReader | undefined): {
  graphLevel: string | undefined
  accelerators: Accelerators
} {
  const graph = optimization?.message('graph')
  const level = graph?.integer('level', { min: -1, max: 2 })
  graph?.finish()
  const cuda = optimization?.message('cuda')
  if (cuda !== undefined) {
    refuseTrue(cuda, {
      graphs: 'set enable_cuda_graph in the parameters of the accelerator "cuda"',
      busy_wait_events: ONLY_TENSORRT,
      output_copy_stream: ONLY_TENSORRT,
    })
    cuda.finish()
  }
  const accelerators = readAccelerators(optimization?.message('execution_accelerators'))
  if (optimization !== undefined) ignoreMemory(optimization)
  optimization?.finish()
  return { graphLevel: level === undefined ? undefined : GRAPH_LEVELS[level], accelerators }
}

/** What may be there because no answer shows it, as in Triton's own onnxruntime backend. */
function ignoreMemory(optimization: MessageReader): void {
  for (const name of ['input_pinned_memory', 'output_pinned_memory']) {
    const buffer = optimization.message(name)
    buffer?.boolean('enable')
    buffer?.finish()
  }
  optimization.choice('priority', { PRIORITY_DEFAULT: 0 })
  optimization.integer('gather_kernel_buffer_threshold', { min: 0, max: 0 })
  refuseTrue(optimization, { eager_batching: ONLY_TENSORRT })
}
