import { EdgeError } from '../kit/errors.ts'
import { addContext } from './context.ts'
import { bytesFor, type Datatype, decodeValues, encodeValues } from './datatypes.ts'
import type { Plain } from './plain.ts'

/** A named array as it travels: its elements are already bytes. */
export interface Tensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** What a model says of one of its inputs or outputs; -1 stands for any length. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
}

export function createTensor(
  { name, datatype }: TensorSpec,
  shape: readonly number[],
  values: ArrayLike<Plain>,
): Tensor {
  try {
    return { name, datatype, shape, bytes: encodeValues(datatype, values) }
  } catch (cause) {
    throw addContext(`Cannot fill input "${name}" (${datatype})`, cause)
  }
}

/** The elements as numbers; a 64-bit integer past 2^53 is rounded, which no score or probability is. */
export function readNumbers(tensor: Tensor): Float64Array {
  if (tensor.datatype === 'BYTES') {
    throw new EdgeError(
      'config_invalid',
      `Cannot read output "${tensor.name}" as numbers: its datatype is BYTES`,
    )
  }
  return Float64Array.from(decodeValues(tensor.datatype, tensor.bytes), Number)
}

/** Whether the bytes are as many as datatype and shape ask for. */
export function hasRightSize({ datatype, shape, bytes }: Tensor): boolean {
  const wanted = bytesFor(datatype, countElements(shape))
  if (wanted !== undefined) return wanted === bytes.length
  return decodeValues(datatype, bytes).length === countElements(shape)
}

export function countElements(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1)
}

/**
 * The model's shape with its free sides set so that it holds `count` elements: the last free side takes them, the
 * ones before it (usually the batch) are 1. `undefined`: no way.
 */
export function fitShape(wanted: readonly number[], count: number): number[] | undefined {
  const lastFree = wanted.lastIndexOf(-1)
  const sides = wanted.map((side) => (side === -1 ? 1 : side))
  if (lastFree !== -1) sides[lastFree] = count / countElements(sides)
  const isWhole = sides.every((side) => Number.isInteger(side) && side >= 0)
  return isWhole && countElements(sides) === count ? sides : undefined
}

/** Whether the model takes this shape as it is. */
export function allowsShape(wanted: readonly number[], shape: readonly number[]): boolean {
  return wanted.length === shape.length && wanted.every((side, axis) => side === -1 || side === shape[axis])
}
