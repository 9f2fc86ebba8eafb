/**
 * The only maker of memory whose address leaves JavaScript.
 *
 * A small typed array lives in the garbage collector's own memory and moves the first time anything asks for its
 * `.buffer`. Memory made by `new ArrayBuffer(n)` or by native code never moves. So: addresses come from here, and
 * whoever hands one to native code keeps the `Memory` (or the buffer) reachable until native code is done with it.
 */
import { CString, ptr, read, toArrayBuffer } from 'bun:ffi'
import { assert } from '../kit/assert.ts'

/** A native address. Below 2^53 on every platform that Limpet runs on, so a number holds it exactly. */
export type Address = number

/** Zeroed memory that stays where it is, aligned to at least 16 bytes. */
export class Memory {
  readonly buffer: ArrayBuffer
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly words: Uint32Array<ArrayBuffer>
  readonly address: Address

  constructor(bytesLength: number) {
    // Never empty: an empty buffer has no address. Whole 64-bit words, so that `words` fits.
    this.buffer = new ArrayBuffer(Math.max(8, Math.ceil(bytesLength / 8) * 8))
    this.bytes = new Uint8Array(this.buffer)
    this.words = new Uint32Array(this.buffer)
    this.address = ptr(this.buffer)
  }

  /** Writes a pointer or a size_t as the `index`-th 64-bit word. */
  setWord(index: number, value: number): void {
    this.words[index * 2] = value >>> 0
    this.words[index * 2 + 1] = Math.floor(value / 2 ** 32)
  }

  /** The `index`-th 64-bit word as an unsigned number; asserts that it is below 2^53. */
  word(index: number): number {
    const low = this.words[index * 2] ?? 0
    const high = this.words[index * 2 + 1] ?? 0
    assert(high < 2 ** 21, 'a pointer or size fits into 53 bits')
    return high * 2 ** 32 + low
  }
}

const encoder = new TextEncoder()

/** A zero-terminated UTF-8 string. The text must not hold a zero itself. */
export function cString(text: string): Memory {
  assert(!text.includes('\0'), 'a C string holds no zero byte')
  const encoded = encoder.encode(text)
  const memory = new Memory(encoded.length + 1)
  memory.bytes.set(encoded)
  return memory
}

/**
 * Holds memory until native code is done with it. Without a holder that is still used after the call, the garbage
 * collector may take a buffer whose address is all that is left of it.
 */
export class Scope {
  readonly #held: unknown[] = []

  hold<T>(value: T): T {
    this.#held.push(value)
    return value
  }

  memory(bytesLength: number): Memory {
    return this.hold(new Memory(bytesLength))
  }

  string(text: string): Address {
    return this.hold(cString(text)).address
  }

  /** An array of pointers to strings. */
  strings(texts: readonly string[]): Address {
    const array = this.memory(texts.length * 8)
    for (const [index, text] of texts.entries()) array.setWord(index, this.string(text))
    return array.address
  }

  end(): void {
    this.#held.length = 0
  }
}

export function scoped<T>(use: (scope: Scope) => T): T {
  const scope = new Scope()
  try {
    return use(scope)
  } finally {
    scope.end()
  }
}

/** The text at a zero-terminated address, copied. */
export function stringAt(address: Address): string {
  return address === 0 ? '' : new CString(address).toString()
}

/** A view over native memory, not a copy: valid only as long as its owner keeps it. */
export function viewAt(address: Address, bytes: number): Uint8Array<ArrayBuffer> {
  return bytes === 0 ? new Uint8Array(0) : new Uint8Array(toArrayBuffer(address, 0, bytes))
}

export function pointerAt(address: Address, offset = 0): Address {
  return read.ptr(address, offset)
}

/** A signed 64-bit integer in native memory, as a number: exact up to 2^53. */
export function longAt(address: Address, offset = 0): number {
  return read.i32(address, offset + 4) * 2 ** 32 + read.u32(address, offset)
}

/** Small typed arrays move; everything a caller may hand us as tensor bytes has to have come from a buffer. */
export function addressOf(view: Uint8Array): Address {
  return view.byteLength === 0 ? EMPTY.address : ptr(view.buffer, view.byteOffset)
}

/** Tensors without elements need an address too; nobody reads from it. */
const EMPTY = new Memory(8)
