import { EdgeError } from '../kit/errors.ts'
import type { Signature, Tensor, TensorSpec } from '../runtime/backend.ts'
import { elementCount } from '../runtime/datatypes.ts'

interface Claim {
  /** "model/version", for the message. */
  readonly lane: string
  readonly signature: Signature
  /** Above 0 the first dimension of every input is the batch. */
  readonly batchSizeMax?: number
}

/**
 * Refuses what the model cannot take, and says what it can. Every request comes through here, most of them with the
 * inputs in the model's own order: no map or set is made for those.
 */
export function checkInputs({ lane, signature, batchSizeMax = 0 }: Claim, inputs: readonly Tensor[]): void {
  const specs = signature.inputs
  for (let index = 0; index < inputs.length; index += 1) {
    const tensor = inputs[index] as Tensor
    const spec =
      specs[index]?.name === tensor.name ? specs[index] : specs.find(({ name }) => name === tensor.name)
    if (spec === undefined) throw refuseNames(lane, signature, inputs)
    for (let before = 0; before < index; before += 1) {
      if (inputs[before]?.name !== tensor.name) continue
      refuse(lane, `input "${tensor.name}" is there twice, expected once`)
    }
    checkTensor(lane, spec, tensor, batchSizeMax > 0)
  }
  // None is unknown and none is twice: as many as the model has are all of them.
  const isComplete =
    inputs.length === specs.length ||
    specs.every((spec) => spec.isOptional || inputs.some(({ name }) => name === spec.name))
  if (!isComplete) throw refuseNames(lane, signature, inputs)
  if (batchSizeMax > 0) checkBatch({ lane, batchSizeMax }, inputs)
}

/** The outputs that a request wants: all of them unless it names some. */
export function chooseOutputs({ lane, signature }: Claim, wanted: readonly string[] | undefined): string[] {
  const names = signature.outputs.map((spec) => spec.name)
  if (wanted === undefined) return names
  for (const name of wanted) {
    if (names.includes(name)) continue
    const unsupported = signature.unsupportedOutputs.find((output) => output.name === name)
    if (unsupported !== undefined) {
      throw new EdgeError(
        'output_unsupported',
        `Cannot infer with "${lane}": output "${name}" is a ${unsupported.kind}, only tensors can be answered: ` +
          list(names),
      )
    }
    refuse(lane, `unknown output "${name}", expected ${list(names)}`)
  }
  return [...wanted]
}

/** "FP32 [-1,3,48,192]", as messages and doctor print it. */
export function describeSpec(spec: TensorSpec): string {
  if (spec.shape === undefined) return `${spec.datatype} of any shape`
  const dimensions = spec.shape.map((dimension, axis) =>
    dimension === -1 ? spec.symbols[axis] || '-1' : dimension,
  )
  return `${spec.datatype} [${dimensions.join(',')}]`
}

function checkTensor(lane: string, spec: TensorSpec, tensor: Tensor, hasBatch: boolean): void {
  if (tensor.datatype === spec.datatype && fitsShape(spec.shape, tensor.shape, hasBatch)) return
  const came = `${tensor.datatype} [${tensor.shape.join(',')}]`
  refuse(lane, `input "${tensor.name}" is ${came}, expected ${describeSpec(spec)}`)
}

function fitsShape(wanted: TensorSpec['shape'], came: readonly number[], hasBatch: boolean): boolean {
  if (wanted === undefined) return true
  if (wanted.length !== came.length) return false
  // A batch of any size is made to fit, by joining it with others or by padding.
  for (let axis = hasBatch ? 1 : 0; axis < wanted.length; axis += 1) {
    if (wanted[axis] !== -1 && wanted[axis] !== came[axis]) return false
  }
  return true
}

/** Triton's words, which its clients' tests look for. */
function checkBatch(
  { lane, batchSizeMax }: { lane: string; batchSizeMax: number },
  inputs: readonly Tensor[],
): void {
  const [first] = inputs
  const size = first?.shape[0] ?? 0
  if (size < 1 || size > batchSizeMax) {
    refuse(
      lane,
      `inference request batch-size must be <= ${batchSizeMax} and at least 1, input "${first?.name}" has ${size}`,
    )
  }
  for (const tensor of inputs) if (tensor.datatype === 'BYTES') checkStrings(lane, tensor)
  const other = inputs.find((tensor) => tensor.shape[0] !== size)
  if (other === undefined) return
  refuse(
    lane,
    `input '${other.name}' batch size does not match other inputs: ${other.shape[0]}, expected ${size}`,
  )
}

/** Strings lie one after the other in a batch: a length that is wrong would read on in somebody else's. */
function checkStrings(lane: string, { name, shape, bytes }: Tensor): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = elementCount(shape)
  let at = 0
  for (let index = 0; index < count; index += 1) {
    at += at + 4 <= bytes.length ? 4 + view.getUint32(at, true) : 4
    if (at > bytes.length) {
      refuse(lane, `input "${name}": string ${index} of ${count} ends beyond the ${bytes.length} bytes`)
    }
  }
  if (at < bytes.length) {
    refuse(lane, `input "${name}": ${bytes.length - at} bytes are left over after ${count} strings`)
  }
}

function refuseNames(lane: string, signature: Signature, inputs: readonly Tensor[]): EdgeError {
  const came = new Set(inputs.map((tensor) => tensor.name))
  const known = new Set(signature.inputs.map((spec) => spec.name))
  const missing = signature.inputs
    .filter((spec) => !spec.isOptional && !came.has(spec.name))
    .map((spec) => spec.name)
  const extra = [...came].filter((name) => !known.has(name))
  const faults = [
    ...(missing.length > 0 ? [`missing ${list(missing)}`] : []),
    ...(extra.length > 0 ? [`unknown ${list(extra)}`] : []),
  ]
  const expected = signature.inputs.map(
    (spec) => `"${spec.name}" ${describeSpec(spec)}${spec.isOptional ? ' (optional)' : ''}`,
  )
  return new EdgeError(
    'input_invalid',
    `Cannot infer with "${lane}": inputs are wrong: ${faults.join(', ')}, expected ${expected.join(', ')}`,
  )
}

function refuse(lane: string, what: string): never {
  throw new EdgeError('input_invalid', `Cannot infer with "${lane}": ${what}`)
}

function list(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ')
}
