import { EdgeError } from '../kit/errors.ts'
import type { Signature, Tensor, TensorSpec } from '../runtime/backend.ts'
import { byteLength, type Datatype, elementCount, isDatatype } from '../runtime/datatypes.ts'
import { randomBytes } from './random-bytes.ts'

export interface WarmUpSample {
  readonly name: string
  readonly count: number
  readonly batchSize: number
  /** None: zeros for every input that the model needs. */
  readonly inputs: readonly WarmUpInput[]
}

interface WarmUpInput {
  readonly name: string
  readonly datatype: string
  /** Without the batch. */
  readonly dims: readonly number[]
  /** Bytes are those of one item. */
  readonly content: 'zeros' | 'random' | Uint8Array
}

/** A sample's input comes to so many bytes at most. */
const INPUT_BYTES_MAX = 2 ** 30

/** The tensors of a sample. Whether the model takes them is for the lane to say, as with any request. */
export function makeInputs(
  sample: WarmUpSample,
  { signature, hasBatch }: { signature: Signature; hasBatch: boolean },
): Tensor[] {
  const given = sample.inputs.length > 0 ? sample.inputs : zerosFor(signature, hasBatch)
  if (!hasBatch && sample.batchSize > 1) {
    throw new EdgeError(
      'config_invalid',
      `batch_size is ${sample.batchSize}, the model takes no batches: expected 1`,
    )
  }
  return given.map((input) => {
    const { name, datatype, dims } = input
    if (!isDatatype(datatype))
      throw new EdgeError('config_invalid', `input "${name}" is ${datatype}, which is no datatype`)
    const item = fill(input, datatype)
    const shape = hasBatch ? [sample.batchSize, ...dims] : dims
    return { name, datatype, shape, bytes: hasBatch ? repeat(name, item, sample.batchSize) : item }
  })
}

/** An open dimension takes one. */
export function zerosFor({ inputs }: Signature, hasBatch: boolean): WarmUpInput[] {
  const dimsOf = ({ shape = [] }: TensorSpec) =>
    shape.slice(hasBatch ? 1 : 0).map((size) => Math.max(1, size))
  return inputs
    .filter(({ isOptional }) => !isOptional)
    .map((spec) => ({ name: spec.name, datatype: spec.datatype, dims: dimsOf(spec), content: 'zeros' }))
}

function fill({ name, dims, content }: WarmUpInput, datatype: Datatype): Uint8Array {
  const elements = elementCount(dims)
  // Strings are filled as empty ones: four bytes of length and nothing behind it.
  const bytes = datatype === 'BYTES' ? elements * 4 : byteLength(datatype, elements)
  boundBytes(name, bytes)
  if (content === 'zeros') return new Uint8Array(new ArrayBuffer(bytes))
  if (content === 'random') return randomBytes(datatype, elements)
  if (datatype !== 'BYTES' && content.length !== bytes) {
    throw new EdgeError(
      'config_invalid',
      `the file of input "${name}" has ${content.length} bytes, ${datatype} [${dims.join(',')}] has ${bytes}`,
    )
  }
  return content
}

function repeat(name: string, item: Uint8Array, times: number): Uint8Array {
  if (times === 1) return item
  boundBytes(name, item.length * times)
  const all = new Uint8Array(new ArrayBuffer(item.length * times))
  for (let index = 0; index < times; index += 1) all.set(item, index * item.length)
  return all
}

function boundBytes(name: string, bytes: number): void {
  if (bytes <= INPUT_BYTES_MAX) return
  throw new EdgeError('config_invalid', `input "${name}" comes to ${bytes} bytes, at most ${INPUT_BYTES_MAX}`)
}
