import type { Tensor } from './backend.ts'
import { DATATYPES, elementCount } from './datatypes.ts'
import { type Address, addressOf, Memory } from './memory.ts'
import type { Ort } from './ort.ts'
import { checkStrings, fillStrings } from './strings.ts'

/** Up to here copying the bytes is cheaper than making a new value around them. */
const STAGED_BYTES_MAX = 16_384

/** Memory for a copy is kept for the next up to here: making and clearing it anew costs as much as the copy. */
const ALIGNED_BYTES_KEPT = 1024 ** 2

/** The value made for the last small tensor: the next of the same type and shape only needs other bytes in it. */
interface Staged {
  readonly tensor: Pick<Tensor, 'datatype' | 'shape'>
  readonly memory: Memory
  readonly value: Address
}

/** One place among the inputs of a call: turns tensors into `OrtValue`s and releases them. */
export class InputSlot {
  readonly #ort: Ort
  readonly #out = new Memory(8)
  #shape = new Memory(8 * 8)
  #staged: Staged | undefined
  /** A value for this run only. */
  #value: Address = 0
  /** What its bytes lie in, where that is a copy. */
  #aligned: Memory | undefined

  constructor(ort: Ort) {
    this.#ort = ort
  }

  /** The address of a value that holds the tensor, until `clear`. The tensor's bytes have to stay as long. */
  fill(tensor: Tensor): Address {
    if (tensor.datatype === 'BYTES') return this.#fillStrings(tensor)
    if (tensor.bytes.byteLength <= STAGED_BYTES_MAX) return this.#stage(tensor)
    this.#value = this.#create(tensor, this.#alignedAddress(tensor))
    return this.#value
  }

  clear(): void {
    if (this.#value !== 0) this.#ort.functions.ReleaseValue(this.#value)
    this.#value = 0
    if ((this.#aligned?.bytes.length ?? 0) > ALIGNED_BYTES_KEPT) this.#aligned = undefined
  }

  destroy(): void {
    this.clear()
    if (this.#staged !== undefined) this.#ort.functions.ReleaseValue(this.#staged.value)
    this.#staged = undefined
  }

  #stage(tensor: Tensor): Address {
    if (this.#staged === undefined || !isAlike(this.#staged.tensor, tensor)) {
      this.destroy()
      const memory = new Memory(tensor.bytes.byteLength)
      // Not the tensor itself: its bytes may be a view into a large body, or into memory that a client shares.
      const { datatype, shape } = tensor
      this.#staged = { tensor: { datatype, shape }, memory, value: this.#create(tensor, memory.address) }
    }
    this.#staged.memory.bytes.set(tensor.bytes)
    return this.#staged.value
  }

  #create(tensor: Tensor, data: Address): Address {
    const { CreateTensorWithDataAsOrtValue: create } = this.#ort.functions
    const { datatype, shape, bytes } = tensor
    const shapeAt = this.#writeShape(shape)
    const type = DATATYPES[datatype].ort
    this.#ort.check(
      create(this.#ort.cpuMemory, data, bytes.byteLength, shapeAt, shape.length, type, this.#out.address),
    )
    return this.#out.word(0)
  }

  #fillStrings({ name, datatype, shape, bytes }: Tensor): Address {
    const { allocator, functions } = this.#ort
    const strings = { name, bytes, count: elementCount(shape) }
    checkStrings(strings)
    const shapeAt = this.#writeShape(shape)
    const type = DATATYPES[datatype].ort
    this.#ort.check(
      functions.CreateTensorAsOrtValue(allocator, shapeAt, shape.length, type, this.#out.address),
    )
    this.#value = this.#out.word(0)
    fillStrings(this.#ort, this.#value, strings)
    return this.#value
  }

  /** ONNX Runtime copies the shape when it makes the value. */
  #writeShape(shape: readonly number[]): Address {
    if (shape.length * 8 > this.#shape.bytes.length) this.#shape = new Memory(shape.length * 8)
    for (const [axis, dimension] of shape.entries()) this.#shape.setWord(axis, dimension)
    return this.#shape.address
  }

  /** Kernels read whole elements: one that begins at an odd address is undefined behaviour, so it is copied. */
  #alignedAddress({ bytes, datatype }: Tensor): Address {
    const address = addressOf(bytes)
    const alignment = Math.max(1, Math.min(8, DATATYPES[datatype].bits / 8))
    if (address % alignment === 0) return address
    if (this.#aligned === undefined || this.#aligned.bytes.length < bytes.byteLength) {
      this.#aligned = new Memory(bytes.byteLength)
    }
    this.#aligned.bytes.set(bytes)
    return this.#aligned.address
  }
}

function isAlike(a: Pick<Tensor, 'datatype' | 'shape'>, b: Tensor): boolean {
  if (a.datatype !== b.datatype || a.shape.length !== b.shape.length) return false
  for (let axis = 0; axis < b.shape.length; axis += 1) if (a.shape[axis] !== b.shape[axis]) return false
  return true
}
