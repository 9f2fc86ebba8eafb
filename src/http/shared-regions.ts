import type { EdgeError } from '../kit/errors.ts'
import { SharedMemory } from '../runtime/shared-memory.ts'
import { invalid, type Json, show } from './fields.ts'

interface Region {
  readonly key: string
  readonly offset: number
  readonly byteSize: number
  readonly memory: SharedMemory
}

/** Each holds a file open. */
const REGIONS_MAX = 1024

/** What clients have registered of shared memory, by the names they gave it. */
export class SharedRegions {
  readonly #regions = new Map<string, Region>()
  /** What views were handed out of, registered still or not. */

  register(name: string, request: Json): void {
    if (this.#regions.has(name)) throw invalid(`shared memory region '${name}' already in manager`)
    if (this.#regions.size >= REGIONS_MAX)
      throw invalid(
        `Cannot register '${name}': there are ${REGIONS_MAX} shared memory regions, at most that many`,
      )
    const { key } = request
    if (typeof key !== 'string')
      throw invalid(`Cannot register '${name}': key is ${show(key)}, expected a string`)
    const offset = asBytes('offset', request['offset'] ?? 0)
    const byteSize = asBytes('byte_size', request['byte_size'])
    const memory = new SharedMemory(key)
    if (offset + byteSize <= memory.bytes) this.#regions.set(name, { key, offset, byteSize, memory })
    else {
      const there = memory.bytes
      memory.close()
      throw invalid(
        `Invalid offset for shared memory region: '${name}': "${key}" has ${there} bytes, offset and byte_size reach ${offset + byteSize}`,
      )
    }
  }

  /** Runs that use it go on. Without a name all of them; one that is not there is no error, as in Triton. */
  unregister(name?: string): void {
    for (const each of name === undefined ? [...this.#regions.keys()] : [name]) {
      this.#regions.get(each)?.memory.close()
      this.#regions.delete(each)
    }
  }

  describe(name?: string): Json[] {
    if (name !== undefined && !this.#regions.has(name))
      throw invalid(`Unable to find system shared memory region: '${name}'`)
    return [...this.#regions]
      .filter(([each]) => name === undefined || each === name)
      .map(([each, { key, offset, byteSize }]) => ({ name: each, key, offset, byte_size: byteSize }))
  }

  /** The bytes that the parameters of an input or output point to. */
  find(parameters: Json): Uint8Array<ArrayBuffer> {
    const name = parameters['shared_memory_region']
    const region = typeof name === 'string' ? this.#regions.get(name) : undefined
    if (region === undefined) throw invalid(`Unable to find shared memory region: '${String(name)}'`)
    const offset = asBytes('shared_memory_offset', parameters['shared_memory_offset'] ?? 0)
    const byteSize = asBytes('shared_memory_byte_size', parameters['shared_memory_byte_size'])
    if (offset + byteSize <= region.byteSize) return region.memory.view(region.offset + offset, byteSize)
    throw invalid(
      `Invalid offset + byte size for shared memory region: '${String(name)}': it has ${region.byteSize} bytes, they reach ${offset + byteSize}`,
    )
  }
}

/** The bytes that the parameters of an input or output point to, where shared memory is on. */
export function findShared(parameters: Json, regions: SharedRegions | undefined): Uint8Array<ArrayBuffer> {
  if (regions === undefined) throw refuseShared()
  return regions.find(parameters)
}

export function refuseShared(): EdgeError {
  return invalid(
    'Cannot use shared memory: it is off; turn it on with http.shared_memory = true in the config',
  )
}

/** 53 bits hold more than any memory has, so two of them can be added. */
function asBytes(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`Cannot use shared memory: ${name} is ${show(value)}, expected a number of bytes`)
}
