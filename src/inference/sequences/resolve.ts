import type { Signature, Tensor, TensorSpec } from '../../runtime/backend.ts'
import { byteLength, type Datatype, elementCount, isDatatype } from '../../runtime/datatypes.ts'
import { checkTensor } from '../check-settings.ts'
import type {
  Control,
  ControlPlan,
  InitialState,
  SequenceModel,
  SequencePlan,
  State,
  StatePlan,
} from './plan.ts'
import { visibleSignature } from './visible.ts'

/** Holds a plan against the model: what it leaves open is taken from there, what contradicts it is a problem. */
export function resolveSequences(
  plan: SequencePlan,
  signature: Signature,
  batchSizeMax: number,
): { readonly problems: readonly string[]; readonly model: SequenceModel } {
  const from: Resolving = { signature, hasBatch: batchSizeMax > 0, problems: [] }
  const controls = plan.controls.flatMap((control) => resolveControl(control, from) ?? [])
  const states = plan.states.flatMap((state) => resolveState(state, from) ?? [])
  const model: SequenceModel = { plan, controls, states }
  if (from.problems.length === 0 && visibleSignature(signature, model).outputs.length === 0) {
    from.problems.push('every output is a state, clients would be answered nothing')
  }
  return { problems: from.problems, model }
}

interface Resolving {
  readonly signature: Signature
  readonly hasBatch: boolean
  readonly problems: string[]
}

function resolveControl(control: ControlPlan, from: Resolving): Control | undefined {
  const { signature, hasBatch, problems } = from
  const who = `control input "${control.name}"`
  const spec = findSpec(who, control.name, { specs: signature.inputs, problems })
  if (spec === undefined) return undefined
  if (spec.datatype !== control.datatype) {
    problems.push(`${who} is ${control.datatype} in the config, ${spec.datatype} in the model`)
  }
  // One element an item: [batch,1] or [batch], [1] or a scalar without a batch.
  const shape = spec.shape ?? (hasBatch ? [-1, 1] : [1])
  const beyond = hasBatch ? shape.slice(1) : shape
  if (shape.length > (hasBatch ? 2 : 1) || beyond.some((size) => size !== 1 && size !== -1)) {
    const expected = hasBatch ? '[-1,1] or [-1]' : '[1] or a scalar'
    problems.push(`${who} is [${shape.join(',')}] in the model, expected ${expected}`)
  }
  return { ...control, rank: shape.length as Control['rank'] }
}

function resolveState(state: StatePlan, from: Resolving): State | undefined {
  const { signature, hasBatch, problems } = from
  const [who, whose] = [`state input "${state.input}"`, `state output "${state.output}"`]
  const input = findSpec(who, state.input, { specs: signature.inputs, problems })
  const output = findSpec(whose, state.output, { specs: signature.outputs, problems })
  if (input === undefined || output === undefined) return undefined
  if (state.dims === undefined && input.datatype !== output.datatype) {
    problems.push(`${whose} is ${output.datatype} in the model, its input "${state.input}" ${input.datatype}`)
  }
  const datatype = state.datatype ?? input.datatype
  const dims = state.dims ?? input.shape?.slice(hasBatch ? 1 : 0)
  if (dims === undefined) {
    problems.push(`${who} has no fixed rank in the model, its dims have to be in the config`)
    return undefined
  }
  const tensor = { name: state.input, datatype, dims }
  problems.push(...checkTensor(who, tensor, { specs: signature.inputs, hasBatch }))
  const given = { ...tensor, name: state.output }
  if (state.dims !== undefined) {
    problems.push(...checkTensor(whose, given, { specs: signature.outputs, hasBatch }))
  }
  if (!isDatatype(datatype)) return undefined
  const initial = createInitial(state, { datatype, dims, fixed: fixedDims(input, dims, hasBatch) }, from)
  return { input: state.input, output: state.output, dims, initial, isShown: state.isShown }
}

/** As the model has them where the config leaves them open. */
function fixedDims({ shape }: TensorSpec, dims: readonly number[], hasBatch: boolean): readonly number[] {
  return dims.map((size, axis) => (size === -1 ? (shape?.[hasBatch ? axis + 1 : axis] ?? -1) : size))
}

function createInitial(
  state: StatePlan,
  model: { datatype: Datatype; dims: readonly number[]; fixed: readonly number[] },
  { hasBatch, problems }: Resolving,
): Tensor {
  const { initial } = state
  const who = `initial state of "${state.input}"`
  const dims = initial?.dims ?? model.fixed.map((size) => (size === -1 ? 1 : size))
  if (initial !== undefined) problems.push(...initialProblems(who, initial, model))
  const elements = elementCount(dims)
  const zeros = model.datatype === 'BYTES' ? 4 * elements : byteLength(model.datatype, elements)
  const given = initial?.bytes
  if (given !== undefined && !fitsBytes(given, model.datatype, elements)) {
    const expected = model.datatype === 'BYTES' ? `${elements} strings` : `${zeros} bytes`
    problems.push(
      `${who} has ${given.length} bytes in its file, expected ${expected} for [${dims.join(',')}]`,
    )
  }
  // Its address may be in native hands: memory that does not move.
  const bytes = new Uint8Array(new ArrayBuffer(given?.length ?? zeros))
  if (given !== undefined) bytes.set(given)
  return { name: state.input, datatype: model.datatype, shape: hasBatch ? [1, ...dims] : [...dims], bytes }
}

function initialProblems(
  who: string,
  { datatype, dims }: InitialState,
  model: { datatype: Datatype; fixed: readonly number[] },
): string[] {
  const problems: string[] = []
  if (datatype !== undefined && datatype !== model.datatype) {
    problems.push(`${who} is ${datatype} in the config, the state ${model.datatype}`)
  }
  if (dims === undefined) return problems
  const fits =
    dims.length === model.fixed.length &&
    dims.every((size, axis) => size >= 0 && (model.fixed[axis] === -1 || model.fixed[axis] === size))
  if (!fits)
    problems.push(`${who} is [${dims.join(',')}] in the config, the state [${model.fixed.join(',')}]`)
  return problems
}

/** Strings lie one after the other, each after its length. */
function fitsBytes(bytes: Uint8Array, datatype: Datatype, elements: number): boolean {
  if (datatype !== 'BYTES') return bytes.length === byteLength(datatype, elements)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (let left = elements; left > 0; left -= 1) {
    if (at + 4 > bytes.length) return false
    at += 4 + view.getUint32(at, true)
  }
  return at === bytes.length
}

function findSpec(
  who: string,
  name: string,
  { specs, problems }: { specs: readonly TensorSpec[]; problems: string[] },
): TensorSpec | undefined {
  const spec = specs.find((candidate) => candidate.name === name)
  if (spec !== undefined) return spec
  const known = specs.map((candidate) => `"${candidate.name}"`).join(', ')
  problems.push(`${who} is in the config, the model has ${known}`)
  return undefined
}
