import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** Where shm_open(3) of glibc keeps them on Linux: opening a file there is all that it does. */
const FOLDER = '/dev/shm'

/** One name, with the slash in front that shm_open(3) asks for or without; never a way out of the folder. */
const KEY = /^\/?(?!\.{1,2}$)[^/\0]{1,254}$/

/** A link could lead anywhere, and opening a pipe would wait. */
const FLAGS = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * POSIX shared memory that another process has made. Views are over the memory itself; it stays mapped until the last
 * of them has been collected, so closing never takes it from under a run.
 *
 * NOTE: who made it may shrink it at any time, and touching what is gone ends a process with SIGBUS. Its size is looked
 * at before each view, which leaves the moment between looking and touching: shared memory is for clients one trusts.
 */
export class SharedMemory {
  readonly #key: string
  readonly #file: number
  readonly #mapped: Uint8Array<ArrayBuffer>

  constructor(key: string) {
    if (!KEY.test(key)) throw refuse(key, 'its key is not a name, expected one like "/input"')
    this.#key = key
    this.#file = openFile(key)
    try {
      if (!fstatSync(this.#file).isFile()) throw refuse(key, 'it is not shared memory')
      if (this.bytes === 0) throw refuse(key, 'it is empty')
      // By its descriptor: the name may mean another file by now.
      this.#mapped = Bun.mmap(`/proc/self/fd/${this.#file}`, { shared: true })
    } catch (error) {
      closeSync(this.#file)
      throw error instanceof EdgeError ? error : refuse(key, messageOf(error), error)
    }
  }

  /** As many as there are now. */
  get bytes(): number {
    return fstatSync(this.#file).size
  }

  view(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    const end = offset + bytes
    const there = Math.min(this.bytes, this.#mapped.length)
    if (end <= there) return this.#mapped.subarray(offset, end)
    throw refuse(this.#key, `it has ${there} bytes now, ${end} are needed`)
  }

  close(): void {
    closeSync(this.#file)
  }
}

function openFile(key: string): number {
  try {
    return openSync(join(FOLDER, key), FLAGS)
  } catch (cause) {
    throw refuse(key, messageOf(cause), cause)
  }
}

function refuse(key: string, what: string, cause?: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot use shared memory "${key}": ${what}`, { cause })
}
