import { assert } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Tensor } from './backend.ts'
import { byteLength, datatypeOf, elementCount } from './datatypes.ts'
import { type Address, longAt, Memory, viewAt } from './memory.ts'
import type { Ort } from './ort.ts'
import { readDimensions } from './signature.ts'
import { readStrings } from './strings.ts'

/** The API version that tells type and shape of a value in one call. */
const API_VERSION_REFERENCE = 24

/** Reads what ONNX Runtime gave back, with scratch memory that one call uses again and again. */
export class OutputReader {
  readonly #ort: Ort
  /** Element type, pointer to the dimensions, their count; or the pointer to the data. */
  readonly #scratch = new Memory(24)

  constructor(ort: Ort) {
    this.#ort = ort
  }

  /** A view over the value's own memory; strings are copied. What is read is bounded by the value's own shape. */
  read(name: string, value: Address): Tensor {
    if (value === 0)
      throw new EdgeError('runtime_failed', `Cannot read output "${name}": the model gave none`)
    const { ortType, shape } =
      this.#ort.apiVersion >= API_VERSION_REFERENCE ? this.#typeAndShape(value) : this.#typeAndShapeOld(value)
    const datatype = datatypeOf(ortType)
    assert(datatype !== undefined, 'the datatype of an output is in the signature')
    const elements = elementCount(shape)
    if (datatype === 'BYTES') return { name, datatype, shape, bytes: readStrings(this.#ort, value, elements) }
    const length = byteLength(datatype, elements)
    this.#ort.check(this.#ort.functions.GetTensorMutableData(value, this.#scratch.address))
    return { name, datatype, shape, bytes: viewAt(this.#scratch.word(0), length) }
  }

  #typeAndShape(value: Address): { ortType: number; shape: number[] } {
    const { address } = this.#scratch
    const { GetTensorElementTypeAndShapeDataReference: reference } = this.#ort.functions
    this.#ort.check(reference(value, address, address + 8, address + 16))
    const dimensions = this.#scratch.word(1)
    const rank = this.#scratch.word(2)
    const shape: number[] = []
    for (let axis = 0; axis < rank; axis += 1) shape.push(longAt(dimensions, axis * 8))
    return { ortType: this.#scratch.words[0] ?? 0, shape }
  }

  #typeAndShapeOld(value: Address): { ortType: number; shape: number[] } {
    const { functions } = this.#ort
    const info = this.#ort.out((out) => functions.GetTensorTypeAndShape(value, out))
    try {
      const ortType = this.#ort.out((out) => functions.GetTensorElementType(info, out))
      return { ortType, shape: readDimensions(this.#ort, info).shape }
    } finally {
      functions.ReleaseTensorTypeAndShapeInfo(info)
    }
  }
}
