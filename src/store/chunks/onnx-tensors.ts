import { EdgeError } from '../../kit/errors.ts'
import { TENSOR_BYTES_MIN } from './limits.ts'
import { type ByteSource, type Field, ProtoReader } from './proto-reader.ts'

/** Where a tensor's values lie in a file. */
export interface Extent {
  readonly at: number
  readonly bytes: number
}

/** Where the large tensors of an ONNX model lie. */
export interface TensorPlaces {
  /** In the model file itself, in order. */
  readonly inside: readonly Extent[]
  /** In files beside it, by the name that the model calls them. */
  readonly outside: ReadonlyMap<string, readonly Extent[]>
}

/** Messages of onnx.proto, and which of their fields lead on: into a message, to values, or to a place in another file. */
type Leads = Readonly<Record<number, keyof typeof MESSAGES | 'values' | 'elsewhere'>>

const MESSAGES = {
  // graph, functions
  model: { 7: 'graph', 25: 'function' },
  // node, initializer, sparse_initializer
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node' },
  // attribute
  node: { 5: 'attribute' },
  // t, g, tensors, graphs, sparse_tensor, sparse_tensors
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  // values, indices
  sparse: { 1: 'tensor', 2: 'tensor' },
  // float_data, int32_data, int64_data, raw_data, double_data, uint64_data, external_data
  tensor: { 4: 'values', 5: 'values', 7: 'values', 9: 'values', 10: 'values', 11: 'values', 13: 'elsewhere' },
} as const satisfies Readonly<Record<string, Readonly<Record<number, string>>>>

const DEPTH_MAX = 64
const TENSORS_MAX = 100_000
const TEXT_BYTES_MAX = 4_096

/** Reads just enough of the protobuf to know, without decoding a tensor. Refuses what is no ONNX model. */
export function findTensors(source: ByteSource): TensorPlaces {
  const search = new Search(new ProtoReader(source))
  search.look('model', { at: 0, bytes: source.bytes }, 0)
  if (!search.hasGraph) throw new EdgeError('model_invalid', 'Cannot read an ONNX model: it has no graph')
  return search
}

class Search implements TensorPlaces {
  readonly inside: Extent[] = []
  readonly outside = new Map<string, Extent[]>()
  hasGraph = false
  readonly #reader: ProtoReader
  #tensors = 0

  constructor(reader: ProtoReader) {
    this.#reader = reader
  }

  look(message: keyof typeof MESSAGES, place: Extent, depth: number): void {
    if (depth > DEPTH_MAX) {
      throw new EdgeError('model_invalid', `Cannot read an ONNX model: it is more than ${DEPTH_MAX} deep`)
    }
    const leads: Leads = MESSAGES[message]
    const elsewhere = new Map<string, string>()
    for (const field of this.#reader.fields(place)) {
      const lead = leads[field.number]
      if (lead === undefined) continue
      if (lead === 'values') this.#keep(this.inside, field)
      else if (lead === 'elsewhere') elsewhere.set(...this.#entry(field))
      else this.look(lead, field, depth + 1)
      this.hasGraph ||= lead === 'graph'
    }
    if (elsewhere.size > 0) this.#keepElsewhere(elsewhere)
  }

  #keep(extents: Extent[], { at, bytes }: Extent): void {
    if (bytes < TENSOR_BYTES_MIN) return
    this.#tensors += 1
    if (this.#tensors > TENSORS_MAX) {
      throw new EdgeError(
        'model_invalid',
        `Cannot read an ONNX model: more than ${TENSORS_MAX} large tensors`,
      )
    }
    extents.push({ at, bytes })
  }

  /** A tensor's external_data: location, offset, length, in decimal digits. Without a length it goes on to the end. */
  #keepElsewhere(entries: ReadonlyMap<string, string>): void {
    const location = entries.get('location')
    const at = Number(entries.get('offset') ?? '0')
    const bytes = Number(entries.get('length') ?? TENSOR_BYTES_MIN)
    if (location === undefined || !Number.isSafeInteger(at) || !Number.isSafeInteger(at + bytes)) return
    const extents = this.outside.get(location) ?? []
    this.#keep(extents, { at, bytes })
    this.outside.set(location, extents)
  }

  /** A StringStringEntryProto. */
  #entry(entry: Field): [key: string, value: string] {
    const pair = ['', '']
    for (const field of this.#reader.fields(entry)) {
      if (field.number <= 2) pair[field.number - 1] = this.#reader.text(field, TEXT_BYTES_MAX)
    }
    return [pair[0] ?? '', pair[1] ?? '']
  }
}
