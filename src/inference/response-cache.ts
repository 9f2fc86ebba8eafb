import type { Tensor } from '../runtime/backend.ts'

/** What an entry takes beside its tensors: its key, its names, its places in maps. Many small answers count too. */
const ENTRY_BYTES = 1024
/** Where each tensor begins, so that it can go on as the input of another model as it lies there. */
const ALIGNMENT = 16

interface Entry {
  readonly scope: number
  readonly outputs: readonly Tensor[]
  readonly bytes: number
}

/**
 * Answers of all lanes that keep theirs, bounded by bytes: what has not been asked for longest leaves first. Asks
 * nothing about keys; whoever makes them has to see to it that equal keys mean equal requests to the same lane.
 */
export class ResponseCache {
  readonly bytesMax: number
  /** In the order of their last use, the oldest first: a Map keeps the order in which keys were set. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0
  #evictions = 0
  #scopes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** What its entries come to. */
  get bytes(): number {
    return this.#bytes
  }

  get entries(): number {
    return this.#entries.size
  }

  /** Entries that left because others needed their place. */
  get evictions(): number {
    return this.#evictions
  }

  /** A number that no lane has had: a version that is loaded again never answers from what it was before. */
  createScope(): number {
    this.#scopes += 1
    return this.#scopes
  }

  find(key: string): readonly Tensor[] | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.outputs
  }

  /** Copies the outputs. What is larger than all the room there is, is not kept. */
  keep(key: string, scope: number, outputs: readonly Tensor[]): void {
    const tensorBytes = outputs.reduce((sum, tensor) => sum + aligned(tensor.bytes.byteLength), 0)
    const bytes = tensorBytes + ENTRY_BYTES
    if (bytes > this.bytesMax) return
    // Two that missed at the same time: the later one takes the place of the former.
    this.#remove(key)
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes + bytes <= this.bytesMax) break
      this.#remove(oldest)
      this.#evictions += 1
    }
    this.#entries.set(key, { scope, outputs: copyTensors(outputs, tensorBytes), bytes })
    this.#bytes += bytes
  }

  /** Lets go of what a lane answered, when it is closed. */
  drop(scope: number): void {
    for (const [key, entry] of this.#entries) if (entry.scope === scope) this.#remove(key)
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
  }
}

/** Into one piece of memory that never moves: native code may read it as an input. */
function copyTensors(tensors: readonly Tensor[], bytesLength: number): Tensor[] {
  const memory = new Uint8Array(new ArrayBuffer(bytesLength))
  let at = 0
  return tensors.map((tensor) => {
    const bytes = memory.subarray(at, at + tensor.bytes.byteLength)
    bytes.set(tensor.bytes)
    at += aligned(bytes.byteLength)
    return { ...tensor, bytes }
  })
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}
