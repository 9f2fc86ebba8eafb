import { EdgeError } from '../kit/errors.ts'
import { addContext } from './context.ts'
import { explainShape } from './hint-advice.ts'
import { flattenNested } from './nested.ts'
import { allowsShape, countElements, createTensor, fitShape, type Tensor, type TensorSpec } from './tensor.ts'
import { quote } from './text.ts'

const CARRIED_ELEMENTS_MAX = 64 * 1024 ** 2

/** Arrays nested as deep as the model's shape say the shape; a flat one takes the model's. */
export function createJsonTensor(input: TensorSpec, json: unknown): Tensor {
  const { shape, values } = flattenInput(input, json)
  const isFlat = shape.length <= 1 && shape.length !== input.shape.length
  const fitting = isFlat ? fitShape(input.shape, values.length) : undefined
  // A shape that the model does not take is sent all the same: the server knows best what to say of it.
  return createTensor(input, fitting ?? shape, values)
}

function flattenInput(input: TensorSpec, json: unknown): ReturnType<typeof flattenNested> {
  try {
    return flattenNested(json)
  } catch (cause) {
    throw addContext(`Cannot fill input ${quote(input.name)}`, cause)
  }
}

/** For a row of numbers that the hints make: constants, or a window of sound. */
export function createRowTensor(input: TensorSpec, values: ArrayLike<number>, keys: string): Tensor {
  const shape = fitShape(input.shape, values.length)
  if (shape === undefined) throw explainShape(input, [values.length], keys)
  return createTensor(input, shape, values)
}

/** What a carried input is in the first window. */
export function createZeroTensor(input: TensorSpec, shape: readonly number[]): Tensor {
  if (!allowsShape(input.shape, shape)) throw explainShape(input, shape, 'shape')
  const count = countElements(shape)
  if (count <= CARRIED_ELEMENTS_MAX) return createTensor(input, shape, new Uint8Array(count))
  throw new EdgeError(
    'config_invalid',
    `Cannot carry input ${quote(input.name)}: its hint has ${count} elements, at most ${CARRIED_ELEMENTS_MAX}`,
  )
}
