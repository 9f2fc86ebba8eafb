import { reshapeProblem } from '../reshape.ts'
import type { MessageReader } from './reader.ts'
import { refuseTrue } from './refusals.ts'

/** The names of Triton's `DataType`, as the Open Inference Protocol has them. */
export const DATATYPES = Object.fromEntries(
  'BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 BF16'
    .split(' ')
    .map((name) => [`TYPE_${name}`, name])
    .concat([['TYPE_STRING', 'BYTES']]),
) as Readonly<Record<string, string>>

const FORMATS = { FORMAT_NONE: 'none', FORMAT_NHWC: 'nhwc', FORMAT_NCHW: 'nchw' } as const

const ONLY_TENSORRT = {
  is_shape_tensor: 'only TensorRT plans have shape tensors',
  is_non_linear_format_io: 'only TensorRT plans have such formats',
}

export function readInput(message: MessageReader) {
  const input = {
    ...readTensor(message),
    format: message.choice('format', FORMATS),
    optional: message.boolean('optional'),
  }
  refuseTrue(message, {
    ...ONLY_TENSORRT,
    allow_ragged_batch: 'requests share a run when their shapes are the same',
  })
  message.finish()
  return input
}

export function readOutput(message: MessageReader) {
  const output = { ...readTensor(message), label_file: message.text('label_filename') || undefined }
  refuseTrue(message, ONLY_TENSORRT)
  message.finish()
  return output
}

function readTensor(message: MessageReader) {
  for (const name of ['name', 'data_type']) if (!message.has(name)) message.refuse(name, 'is missing')
  const dims = message.integers('dims', { min: -1, max: 2 ** 31 - 1 })
  // What is missing has been noted: anything will do in its place.
  return {
    name: message.text('name') ?? '?',
    datatype: message.choice('data_type', DATATYPES) ?? '?',
    dims,
    reshape: readReshape(message, dims),
  }
}

/** One to the shape that is there anyway changes nothing. */
function readReshape(message: MessageReader, dims: readonly number[]): number[] | undefined {
  const reshape = message.message('reshape')
  if (reshape === undefined) return undefined
  const shape = reshape.integers('shape', { min: -1, max: 2 ** 31 - 1 })
  reshape.finish()
  const problem = reshapeProblem(dims, shape)
  if (problem !== undefined) message.refuse('reshape', problem)
  const isSame = shape.length === dims.length && shape.every((size, axis) => size === dims[axis])
  return isSame || problem !== undefined ? undefined : shape
}
