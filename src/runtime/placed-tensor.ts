import type { Tensor } from './backend.ts'
import { byteLength, DATATYPES, elementCount } from './datatypes.ts'
import type { Allocation } from './device-memory.ts'
import { type Address, Memory, viewAt } from './memory.ts'
import type { Ort } from './ort.ts'

/** What kind of tensor, and how large. */
type Form = Pick<Tensor, 'datatype' | 'shape'>

/** Nobody wants memory without an address. */
const BYTES_MIN = 64

/** A value in memory of an allocator of ONNX Runtime, which is taken once and used again: it only grows. */
export class PlacedTensor {
  readonly #ort: Ort
  readonly #allocation: Allocation
  readonly #out = new Memory(8)
  #form: Form | undefined
  #value: Address = 0
  #address: Address = 0
  #capacity = 0
  #length = 0
  #bytes: Uint8Array | undefined

  constructor(ort: Ort, allocation: Allocation) {
    this.#ort = ort
    this.#allocation = allocation
  }

  get value(): Address {
    return this.#value
  }

  /** Bytes of the tensor that it is now. */
  get length(): number {
    return this.#length
  }

  /** Of memory that the host can read, and no other. */
  get bytes(): Uint8Array {
    this.#bytes ??= viewAt(this.#address, this.#capacity)
    return this.#bytes
  }

  /** Makes it such a tensor; true when its value is another one than before. */
  reserve(form: Form): boolean {
    if (this.#form !== undefined && isAlike(this.#form, form)) return false
    const { datatype, shape } = form
    const bytes = byteLength(datatype, elementCount(shape))
    this.#releaseValue()
    if (bytes > this.#capacity || this.#address === 0) this.#allocate(Math.max(BYTES_MIN, bytes))
    const dimensions = new Memory(shape.length * 8)
    for (const [axis, size] of shape.entries()) dimensions.setWord(axis, size)
    const { CreateTensorWithDataAsOrtValue: create } = this.#ort.functions
    const type = DATATYPES[datatype].ort
    const { info } = this.#allocation
    const to = this.#out.address
    this.#ort.check(create(info, this.#address, bytes, dimensions.address, shape.length, type, to))
    this.#value = this.#out.word(0)
    this.#length = bytes
    this.#form = { datatype, shape }
    return true
  }

  destroy(): void {
    this.#releaseValue()
    this.#free()
  }

  #allocate(bytes: number): void {
    this.#free()
    const { AllocatorAlloc: allocate } = this.#ort.functions
    this.#address = this.#ort.out((out) => allocate(this.#allocation.allocator, bytes, out))
    this.#capacity = bytes
  }

  #free(): void {
    if (this.#address === 0) return
    const { AllocatorFree: free } = this.#ort.functions
    this.#bytes = undefined
    this.#ort.check(free(this.#allocation.allocator, this.#address))
    this.#address = 0
    this.#capacity = 0
  }

  #releaseValue(): void {
    if (this.#value !== 0) this.#ort.functions.ReleaseValue(this.#value)
    this.#value = 0
    this.#form = undefined
  }
}

function isAlike(a: Form, b: Form): boolean {
  return (
    a.datatype === b.datatype &&
    a.shape.length === b.shape.length &&
    a.shape.every((size, axis) => size === b.shape[axis])
  )
}
