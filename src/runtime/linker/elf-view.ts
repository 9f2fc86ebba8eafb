/** Bytes of a file from there on, fewer where it ends before. */
export type ReadAt = (offset: number, bytes: number) => Uint8Array

/** Why a file is no library that could be loaded here; stands behind its name. */
export class ElfRefusal extends Error {
  override readonly name = 'ElfRefusal'
}

export interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly bytes: number
}

const SEGMENT_LOAD = 1
const STRING_BYTES_MAX = 4096
/** Read at once: the tables lie close to each other. */
const PAGE_BYTES = 16 * 1024
const PAGES_MAX = 1024
/** Of bytes looked at: a hundred times what a real library takes. What wants more has been made to. */
const LOOKS_MAX = 4_000_000

/** Numbers and names in an ELF file of 64 bits, little endian: by their place in the file, or by their address. */
export class ElfView {
  readonly segments: readonly Segment[]
  readonly #read: ReadAt
  readonly #pages = new Map<number, DataView>()
  #looks = 0

  constructor(read: ReadAt, segments: readonly Segment[]) {
    this.#read = read
    this.segments = segments
  }

  half(offset: number): number {
    return this.#byte(offset) | (this.#byte(offset + 1) << 8)
  }

  int(offset: number): number {
    return (this.half(offset) | (this.half(offset + 2) << 16)) >>> 0
  }

  /** No file is larger than a number can say; what is comes out as nothing that could be read. */
  word(offset: number): number {
    return this.int(offset) + this.int(offset + 4) * 2 ** 32
  }

  /** Where in the file that lies which is to be at this address. */
  offsetOf(address: number): number {
    const segment = this.segments.find(
      ({ type, address: start, bytes }) =>
        type === SEGMENT_LOAD && address >= start && address < start + bytes,
    )
    if (segment === undefined) throw new ElfRefusal(`is damaged: nothing lies at 0x${address.toString(16)}`)
    return address - segment.address + segment.offset
  }

  /** Up to its zero. */
  string(address: number): string {
    const start = this.offsetOf(address)
    const bytes: number[] = []
    for (let at = start; bytes.length <= STRING_BYTES_MAX; at += 1) {
      const byte = this.#byte(at)
      if (byte === 0) return Buffer.from(bytes).toString()
      bytes.push(byte)
    }
    throw new ElfRefusal(`is damaged: a name in it has more than ${STRING_BYTES_MAX} bytes`)
  }

  #byte(offset: number): number {
    this.#looks += 1
    if (this.#looks > LOOKS_MAX) throw new ElfRefusal('is damaged: its tables have no end')
    const page = Math.floor(offset / PAGE_BYTES)
    const view = this.#pages.get(page) ?? this.#load(page)
    const within = offset - page * PAGE_BYTES
    if (within < view.byteLength) return view.getUint8(within)
    throw new ElfRefusal(`is damaged: it ends before its byte ${offset}`)
  }

  #load(page: number): DataView {
    if (this.#pages.size >= PAGES_MAX) throw new ElfRefusal('is damaged: its tables are all over the file')
    const start = page * PAGE_BYTES
    const isThere = Number.isSafeInteger(start) && start >= 0
    const bytes = isThere ? this.#read(start, PAGE_BYTES) : new Uint8Array(0)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#pages.set(page, view)
    return view
  }
}
