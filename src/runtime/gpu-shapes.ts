import type { Signature, TensorSpec } from './backend.ts'
import type { InputShapes, ShapeRange } from './gpu-settings.ts'

/** The shapes to build engines for, or what is wrong with those that were told. */
export type ResolvedShapes = { readonly shapes: InputShapes } | { readonly problems: readonly string[] }

/**
 * What the settings say, held against the model. Where they say nothing and the first dimension, the batch, is all that
 * the model leaves open, that tells it all: without it an engine would be built anew, for minutes and in the middle of
 * a request, for each batch that is larger than those before.
 */
export function resolveShapes(
  { inputs }: Signature,
  { shapes, batchSizeMax }: { shapes: InputShapes; batchSizeMax: number },
): ResolvedShapes {
  if (Object.keys(shapes).length === 0) return { shapes: batchShapes(inputs, batchSizeMax) }
  const unknown = Object.keys(shapes).filter((name) => !inputs.some((input) => input.name === name))
  const expected = inputs.map(({ name }) => `"${name}"`).join(', ')
  const problems = [
    ...unknown.map((name) => `session.gpu.shapes names "${name}", the model's inputs are ${expected}`),
    ...inputs.flatMap((input) => inputProblems(input, shapes[input.name], batchSizeMax)),
  ]
  return problems.length > 0 ? { problems } : { shapes }
}

function batchShapes(inputs: readonly TensorSpec[], batchSizeMax: number): InputShapes {
  if (batchSizeMax === 0) return {}
  const entries = inputs.map(({ name, shape }): [string, ShapeRange] | undefined => {
    const [batch, ...rest] = shape ?? []
    if (batch !== -1 || rest.some((size) => size === -1)) return undefined
    return [name, { min: [1, ...rest], opt: [batchSizeMax, ...rest], max: [batchSizeMax, ...rest] }]
  })
  if (entries.includes(undefined)) return {}
  return Object.fromEntries(entries.flatMap((entry) => (entry === undefined ? [] : [[entry[0], [entry[1]]]])))
}

function inputProblems(
  { name, shape, isOptional }: TensorSpec,
  ranges: readonly ShapeRange[] | undefined,
  batchSizeMax: number,
): string[] {
  if (shape === undefined) return []
  const refuse = (what: string) => `session.gpu.shapes of "${name}" ${what}`
  if (ranges === undefined) {
    const isOpen = shape.includes(-1) && !isOptional
    return isOpen ? [refuse(`is missing: the model leaves [${shape.join(',')}] open`)] : []
  }
  return ranges.flatMap((range) => {
    if (range.min.length !== shape.length)
      return [refuse(`has ${range.min.length} dimensions, the model has [${shape.join(',')}]`)]
    return [...fixedProblems(shape, range), ...batchProblems(shape, range, batchSizeMax)].map(refuse)
  })
}

function fixedProblems(shape: readonly number[], { min, max }: ShapeRange): string[] {
  return shape.flatMap((size, axis) => {
    const isRight = size === -1 || (min[axis] === size && max[axis] === size)
    return isRight ? [] : [`has ${min[axis]} to ${max[axis]} at ${axis}, the model has ${size} there`]
  })
}

/** A run may be of one request, and of as many as fit. */
function batchProblems(shape: readonly number[], { min, max }: ShapeRange, batchSizeMax: number): string[] {
  if (batchSizeMax === 0 || shape[0] !== -1) return []
  const [least = 1, most = 1] = [min[0], max[0]]
  if (least <= 1 && most >= batchSizeMax) return []
  return [`has batches of ${least} to ${most}, runs are of 1 to max_batch_size ${batchSizeMax}`]
}
