import { present } from '../../kit/assert.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { RunRequest, Tensor } from '../../runtime/backend.ts'
import { byteLength, elementCount } from '../../runtime/datatypes.ts'
import { mergeInputs } from '../batch-tensors.ts'
import type { Control, SequenceModel, SequencePart } from './plan.ts'

/** One request of one sequence in a run. */
export interface Item {
  readonly run: RunRequest
  readonly sequence: SequencePart
  /** What its sequence has kept; undefined for what it begins with. */
  readonly kept: readonly Tensor[] | undefined
}

export interface RunShape {
  /** False: a run is one request, whose tensors have no batch dimension. */
  readonly hasBatch: boolean
  /** Items that the model insists on; 0 for as many as there are. */
  readonly staticBatch: number
}

/** `items` by their place in the run; where there is none, the model is told that nothing is ready there. */
export function joinItems(
  items: readonly (Item | undefined)[],
  model: SequenceModel,
  shape: RunShape,
): RunRequest {
  const first = present(
    items.find((item) => item !== undefined),
    'a run holds an item',
  )
  const { states } = model
  const parts = items.map((item) => {
    const kept = item === undefined || item.sequence.isStart ? undefined : item.kept
    const inputs = item === undefined ? first.run.inputs.map(zeros) : item.run.inputs
    return [...inputs, ...states.map(({ initial }, index) => kept?.[index] ?? initial)]
  })
  const total = Math.max(items.length, shape.staticBatch)
  const joined = total === 1 ? (parts[0] as Tensor[]) : mergeInputs(parts, shape.staticBatch)
  const at = { items, total, hasBatch: shape.hasBatch }
  const controls = model.controls.map((control) => controlTensor(control, at))
  return { inputs: [...joined, ...controls], outputs: outputsOf(first.run.outputs, model) }
}

/** What the client wants, and behind it the states that it does not. */
function outputsOf(wanted: readonly string[], { states }: SequenceModel): string[] {
  return [...wanted, ...states.map(({ output }) => output).filter((output) => !wanted.includes(output))]
}

/** Copies what a run gave into memory of the sequence's own, that of before where it fits. */
export function keepStates(
  before: readonly Tensor[] | undefined,
  share: readonly Tensor[],
  { states, plan }: SequenceModel,
): Tensor[] {
  const came = states.map(({ output }) =>
    present(
      share.find(({ name }) => name === output),
      'a run gives every state',
    ),
  )
  const total = came.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
  if (total > plan.stateBytesMax) {
    throw new EdgeError(
      'input_invalid',
      `its states come to ${total} bytes, at most ${plan.stateBytesMax} (sequences.state_bytes_max)`,
    )
  }
  return came.map(({ datatype, shape, bytes: given }, index) => {
    const old = before?.[index]?.bytes
    const bytes =
      old?.byteLength === given.byteLength ? old : new Uint8Array(new ArrayBuffer(given.byteLength))
    bytes.set(given)
    return { name: present(states[index], 'as many as came').input, datatype, shape, bytes }
  })
}

/** Of the same shape, with nothing in it. */
function zeros(tensor: Tensor): Tensor {
  const { datatype, shape } = tensor
  const elements = elementCount(shape)
  const length = datatype === 'BYTES' ? 4 * elements : byteLength(datatype, elements)
  return { ...tensor, bytes: new Uint8Array(new ArrayBuffer(length)) }
}

interface Places {
  readonly items: readonly (Item | undefined)[]
  readonly total: number
  readonly hasBatch: boolean
}

function controlTensor(control: Control, { items, total, hasBatch }: Places): Tensor {
  const shape = hasBatch ? (control.rank === 2 ? [total, 1] : [total]) : control.rank === 0 ? [] : [1]
  const values = Array.from({ length: total }, (_, index) => controlValue(control, items[index]))
  const { name } = control
  return control.datatype === 'BYTES'
    ? { name, datatype: 'BYTES', shape, bytes: encodeStrings(values.map(String)) }
    : { name, datatype: control.datatype as Tensor['datatype'], shape, bytes: encodeNumbers(control, values) }
}

function controlValue(control: Control, item: Item | undefined): number | bigint | string {
  const { kind, falseTrue } = control
  if (kind === 'id') return item?.sequence.id ?? (control.datatype === 'BYTES' ? '' : 0n)
  const isTrue =
    item !== undefined &&
    (kind === 'ready' || (kind === 'start' ? item.sequence.isStart : item.sequence.isEnd))
  return falseTrue[isTrue ? 1 : 0]
}

function encodeNumbers({ datatype }: Control, values: readonly (number | bigint | string)[]): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(byteLength(datatype as Tensor['datatype'], values.length)))
  const view = new DataView(bytes.buffer)
  const set = present(SETTERS[datatype], 'the datatype of a control is one of those')
  for (const [index, value] of values.entries()) set(view, index, value)
  return bytes
}

const SETTERS: Readonly<
  Record<string, (view: DataView, index: number, value: number | bigint | string) => void>
> = {
  BOOL: (view, index, value) => view.setUint8(index, Number(value)),
  FP32: (view, index, value) => view.setFloat32(index * 4, Number(value), true),
  INT32: (view, index, value) => view.setInt32(index * 4, Number(value), true),
  UINT32: (view, index, value) => view.setUint32(index * 4, Number(value), true),
  INT64: (view, index, value) => view.setBigInt64(index * 8, BigInt(value), true),
  UINT64: (view, index, value) => view.setBigUint64(index * 8, BigInt(value), true),
}

const encoder = new TextEncoder()

function encodeStrings(texts: readonly string[]): Uint8Array {
  const encoded = texts.map((text) => encoder.encode(text))
  const bytes = new Uint8Array(new ArrayBuffer(encoded.reduce((sum, { length }) => sum + 4 + length, 0)))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const text of encoded) {
    view.setUint32(at, text.length, true)
    bytes.set(text, at + 4)
    at += 4 + text.length
  }
  return bytes
}

const ID_MAX: Readonly<Record<string, bigint>> = {
  INT32: 2n ** 31n - 1n,
  UINT32: 2n ** 32n - 1n,
  INT64: 2n ** 63n - 1n,
  UINT64: 2n ** 64n - 1n,
}

/** Refuses an id that the model's own input for it cannot hold. */
export function checkId(lane: string, { id }: SequencePart, { controls }: SequenceModel): void {
  for (const { kind, name, datatype } of controls) {
    const max = ID_MAX[datatype]
    if (kind !== 'id' || max === undefined) continue
    if (typeof id === 'bigint' && id <= max) continue
    const came = typeof id === 'bigint' ? String(id) : JSON.stringify(id)
    throw new EdgeError(
      'input_invalid',
      `Cannot infer with "${lane}": sequence_id ${came} does not fit into "${name}", expected an integer of at most ${max}`,
    )
  }
}
