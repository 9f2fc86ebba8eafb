import type { Tensor } from './backend.ts'
import type { DeviceMemory } from './device-memory.ts'
import { InputSlot } from './input-slot.ts'
import type { Address } from './memory.ts'
import type { Ort } from './ort.ts'
import { PlacedTensor } from './placed-tensor.ts'

/** One input of a call: what came, where the device can read it, and its place on the device. */
export class BoundInput {
  /** Undefined: ONNX Runtime brings it to where it belongs when it is bound. */
  readonly target: PlacedTensor | undefined
  readonly #slot: InputSlot
  readonly #pinned: PlacedTensor | undefined

  constructor(ort: Ort, name: string, memory: DeviceMemory) {
    const allocation = memory.inputs.get(name)
    this.#slot = new InputSlot(ort)
    this.target = allocation === undefined ? undefined : new PlacedTensor(ort, allocation)
    const isStaged = memory.isPinned && this.target !== undefined
    this.#pinned = isStaged ? new PlacedTensor(ort, memory.host) : undefined
  }

  /** The address of a value with these bytes, in memory of the host, until `clear`. */
  fill(tensor: Tensor): Address {
    if (this.#pinned === undefined) return this.#slot.fill(tensor)
    this.#pinned.reserve(tensor)
    this.#pinned.bytes.set(tensor.bytes)
    return this.#pinned.value
  }

  clear(): void {
    this.#slot.clear()
  }

  destroy(): void {
    this.#slot.destroy()
    this.#pinned?.destroy()
    this.target?.destroy()
  }
}
