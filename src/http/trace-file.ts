import { open } from 'node:fs/promises'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'

/** Appends to a file of traces; passed in, so that tests need no disk. */
export type WriteTraces = (path: string, entries: readonly string[]) => Promise<void>

/**
 * A JSON array that is whole after every write: the closing bracket is written over by what comes next. An older file
 * of that name goes when this process first writes it.
 */
export function createTraceWriter(): WriteTraces {
  const ends = new Map<string, number>()
  return async (path, entries) => {
    const end = ends.get(path)
    const text = `${end === undefined ? '[\n' : ',\n'}${entries.join(',\n')}\n]`
    const bytes = Buffer.from(text)
    const file = await open(path, end === undefined ? 'w' : 'r+')
    try {
      await file.write(bytes, 0, bytes.length, end ?? 0)
    } finally {
      await file.close()
    }
    // Before the line break and the bracket.
    ends.set(path, (end ?? 0) + bytes.length - 2)
  }
}

/**
 * What was traced and is not on disk yet. Bounded: once so many bytes have been written there is no more of it, until
 * somebody changes the settings.
 */
export class TraceFile {
  readonly #path: string
  readonly #write: WriteTraces
  readonly #bytesMax: number
  #entries: string[] = []
  #entriesBytes = 0
  #traces = 0
  #written = 0
  #number = 0
  #writing: Promise<void> = Promise.resolve()
  readonly #log = logger('http')

  constructor(options: { path: string; write: WriteTraces; bytesMax: number }) {
    this.#path = options.path
    this.#write = options.write
    this.#bytesMax = options.bytesMax
  }

  get isFull(): boolean {
    return this.#written + this.#entriesBytes >= this.#bytesMax
  }

  /** `frequency`: a file of its own for every so many traces, as Triton numbers them; 0: one file. */
  add(entries: readonly string[], frequency: number): void {
    if (this.isFull) return
    this.#entries.push(...entries)
    this.#entriesBytes += entries.reduce((sum, entry) => sum + entry.length, 0)
    this.#traces += 1
    if (this.isFull) this.#log.warn('http.trace_full', { bytes_max: this.#bytesMax, path: this.#path })
    if (frequency === 0 ? this.#entriesBytes >= FLUSH_BYTES || this.isFull : this.#traces >= frequency)
      this.flush(frequency)
  }

  flush(frequency: number): void {
    if (this.#entries.length === 0) return
    const path = frequency === 0 ? this.#path : `${this.#path}.${this.#number++}`
    const entries = this.#entries
    this.#written += this.#entriesBytes
    this.#entries = []
    this.#entriesBytes = 0
    this.#traces = 0
    this.#writing = this.#writing
      .then(() => this.#write(path, entries))
      .catch((error: unknown) => this.#log.error('http.trace_lost', { path, reason: messageOf(error) }))
  }

  /** Room again, for what is traced from now on. */
  reset(): void {
    this.#written = 0
  }

  /** After everything that was flushed. */
  settled(): Promise<void> {
    return this.#writing
  }
}

const FLUSH_BYTES = 64 * 1024
