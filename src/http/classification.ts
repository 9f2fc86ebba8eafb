import { EdgeError } from '../kit/errors.ts'
import type { Tensor } from '../runtime/backend.ts'
import { encodeTexts, readNumbers } from './json-tensor.ts'

/** What a model's classes are called, by index. */
export type Labels = readonly string[] | undefined

type Values = ArrayLike<number | bigint>

/**
 * The classification extension: instead of the scores the largest of them, each as the string "value:index[:label]".
 * The first dimension is the batch; an output of one dimension is a single item.
 */
export function classifyOutput(output: Tensor, wants: { classes: number; labels: Labels }): Tensor {
  const values: Values | undefined = readNumbers(output)
  if (values === undefined) {
    throw new EdgeError(
      'output_unsupported',
      `Cannot answer output "${output.name}" with classes: its datatype is ${output.datatype}, expected numbers`,
    )
  }
  const isBatch = output.shape.length > 1
  const items = isBatch ? (output.shape[0] ?? 0) : 1
  const classesInAll = items === 0 ? 0 : values.length / items
  const classes = Math.min(wants.classes, classesInAll)
  const texts: string[] = []
  for (let item = 0; item < items; item += 1) {
    const from = item * classesInAll
    for (const index of findLargest(values, { from, length: classesInAll }).subarray(0, classes))
      texts.push(describeClass(values[from + index], index, wants.labels))
  }
  const shape = isBatch ? [items, classes] : [classes]
  return { name: output.name, datatype: 'BYTES', shape, bytes: encodeTexts(texts) }
}

/** Indices from the largest value to the smallest. Of equal values the first comes first; what is no number comes last. */
function findLargest(values: Values, range: { from: number; length: number }): Uint32Array {
  const indices = Uint32Array.from({ length: range.length }, (_, index) => index)
  const valueAt = (index: number) => values[range.from + index] ?? Number.NaN
  return indices.sort((a, b) => {
    const left = valueAt(a)
    const right = valueAt(b)
    if (left > right) return -1
    if (left < right) return 1
    return Number(Number.isNaN(left)) - Number(Number.isNaN(right)) || a - b
  })
}

function describeClass(value: number | bigint | undefined, index: number, labels: Labels): string {
  const label = labels?.[index] ?? ''
  return label === '' ? `${value}:${index}` : `${value}:${index}:${label}`
}
