import type { Signature, TensorSpec } from '../runtime/backend.ts'
import { describeSpec } from './check.ts'

/** What a model's config says of one of its tensors. */
export interface ExpectedTensor {
  readonly name: string
  readonly datatype: string
  /** Without the batch dimension where the model is run in batches; -1 leaves one open. */
  readonly dims: readonly number[]
  /** What the model has where clients have `dims`. */
  readonly reshape?: readonly number[] | undefined
  readonly optional?: boolean | undefined
}

export interface Expectation {
  readonly max_batch_size: number
  readonly inputs: readonly ExpectedTensor[]
  readonly outputs: readonly ExpectedTensor[]
}

/** Where a config and the model contradict each other; empty when they agree. A config need not name every tensor. */
export function checkSettings(settings: Expectation, signature: Signature): string[] {
  const hasBatch = settings.max_batch_size > 0
  const inputs = settings.inputs.flatMap((tensor) =>
    checkTensor(`input "${tensor.name}"`, tensor, { specs: signature.inputs, hasBatch }),
  )
  const outputs = settings.outputs.flatMap((tensor) => {
    const kind = signature.unsupportedOutputs.find(({ name }) => name === tensor.name)?.kind
    if (kind !== undefined) return [`output "${tensor.name}" is a ${kind}, only tensors can be answered`]
    return checkTensor(`output "${tensor.name}"`, tensor, { specs: signature.outputs, hasBatch })
  })
  return [...inputs, ...outputs]
}

export function checkTensor(
  who: string,
  tensor: ExpectedTensor,
  model: { specs: readonly TensorSpec[]; hasBatch: boolean },
): string[] {
  const spec = model.specs.find(({ name }) => name === tensor.name)
  if (spec === undefined) {
    const known = model.specs.map(({ name }) => `"${name}"`).join(', ')
    return [`${who} is in the config, the model has ${known}`]
  }
  const own = tensor.reshape ?? tensor.dims
  const dims = model.hasBatch ? [-1, ...own] : own
  const problems: string[] = []
  if (tensor.datatype !== spec.datatype || !fits(spec, dims, model.hasBatch)) {
    const batch = model.hasBatch ? ', the batch being the first dimension' : ''
    problems.push(
      `${who} is ${tensor.datatype} [${dims.join(',')}] in the config, ${describeSpec(spec)} in the model${batch}`,
    )
  }
  if (tensor.optional === true && !spec.isOptional) {
    problems.push(`${who} is optional in the config, the model needs it`)
  }
  return problems
}

/** A config may fix what the model leaves open, not open what the model fixes. */
function fits({ shape }: TensorSpec, dims: readonly number[], hasBatch: boolean): boolean {
  if (shape === undefined) return true
  if (shape.length !== dims.length) return false
  const isMet = (size: number, axis: number) =>
    (hasBatch && axis === 0) || shape[axis] === -1 || shape[axis] === size
  return dims.every(isMet)
}
