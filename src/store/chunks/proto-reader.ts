import { readSync } from 'node:fs'
import { EdgeError } from '../../kit/errors.ts'

/** A field of a protobuf message: a number, or bytes that lie from `at` on and have not been read. */
export interface Field {
  readonly number: number
  readonly at: number
  readonly bytes: number
}

/** Bytes that can be read at any place: a file, or memory in tests. */
export interface ByteSource {
  readonly bytes: number
  read(into: Uint8Array, at: number): number
}

export function fileSource(descriptor: number, bytes: number): ByteSource {
  return { bytes, read: (into, at) => readSync(descriptor, into, 0, into.length, at) }
}

const WINDOW_BYTES = 64 * 1024
const VARINT_BYTES_MAX = 10
/** No model comes near: a file that is made of tiny fields must not keep the reader for hours. */
const FIELDS_MAX = 20_000_000
const LENGTH_DELIMITED = 2
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 8, 5: 4 }

/** Walks over a protobuf file of any size with one window of memory, and skips what it is not asked to look into. */
export class ProtoReader {
  readonly #source: ByteSource
  readonly #window = new Uint8Array(WINDOW_BYTES)
  #windowAt = 0
  #windowBytes = 0
  #fields = 0

  constructor(source: ByteSource) {
    this.#source = source
  }

  get bytes(): number {
    return this.#source.bytes
  }

  /** The fields of the message that lies in `bytes` from `at` on. */
  *fields({ at, bytes }: { at: number; bytes: number }): Generator<Field> {
    const end = at + bytes
    let next = at
    while (next < end) {
      this.#fields += 1
      if (this.#fields > FIELDS_MAX) throw broken(next, `more than ${FIELDS_MAX} fields`)
      const [field, after] = this.#field(next, end)
      yield field
      next = after
    }
  }

  /** A field's bytes as text. */
  text({ at, bytes }: Field, bytesMax: number): string {
    if (bytes > bytesMax) throw broken(at, `a text of ${bytes} bytes, at most ${bytesMax}`)
    const text = Buffer.alloc(bytes)
    for (let index = 0; index < bytes; index++) text[index] = this.#byte(at + index)
    return text.toString()
  }

  #field(at: number, end: number): [Field, after: number] {
    const [key, afterKey] = this.#varint(at, end)
    const number = Math.floor(key / 8)
    const wire = key % 8
    if (number < 1) throw broken(at, 'a field with the number 0')
    if (wire === 0) {
      const [, after] = this.#varint(afterKey, end)
      return [{ number, at: afterKey, bytes: 0 }, after]
    }
    const [bytes, start] =
      wire === LENGTH_DELIMITED ? this.#varint(afterKey, end) : [FIXED_BYTES[wire], afterKey]
    if (bytes === undefined) throw broken(at, `a field of the wire type ${wire}`)
    if (start + bytes > end) throw broken(at, `a field of ${bytes} bytes where ${end - start} are left`)
    // Numbers have no bytes that anybody here would look into.
    return [{ number, at: start, bytes: wire === LENGTH_DELIMITED ? bytes : 0 }, start + bytes]
  }

  /** Exact up to 2^53; beyond that only its length matters, and such a length is too long for any file. */
  #varint(at: number, end: number): [value: number, after: number] {
    let value = 0
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      if (at + index >= end) throw broken(at, 'a number that is cut off')
      const byte = this.#byte(at + index)
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) return [value, at + index + 1]
    }
    throw broken(at, `a number of more than ${VARINT_BYTES_MAX} bytes`)
  }

  #byte(at: number): number {
    if (at < this.#windowAt || at >= this.#windowAt + this.#windowBytes) {
      this.#windowAt = at
      this.#windowBytes = this.#source.read(this.#window, at)
      if (this.#windowBytes === 0) throw broken(at, 'the end of the file')
    }
    return this.#window[at - this.#windowAt] ?? 0
  }
}

function broken(at: number, what: string): EdgeError {
  return new EdgeError('model_invalid', `Cannot read protobuf: at byte ${at} there is ${what}`)
}
