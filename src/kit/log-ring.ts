import { closeSync, fstatSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from './clock.ts'

const HALF_BYTES_MAX = 256 * 1024
/** What a process that complains without end may write in a minute: flash wears out. */
const MINUTE_BYTES_MAX = 256 * 1024
const MINUTE_MS = 60_000

/** The two files that hold the last lines of a process, of which one is written at a time. */
export function logRingPaths(folder: string, name: string): readonly [string, string] {
  return [join(folder, `${name}.0.log`), join(folder, `${name}.1.log`)]
}

/**
 * The last lines of a process, in two files of bounded size that it fills in turns: they outlive its end. A convenience:
 * where the disk does not take them, or there are too many, they are let go.
 */
export class LogRing {
  readonly #paths: readonly [string, string]
  readonly #clock: Clock
  #turn: 0 | 1 = 0
  #file: number | undefined
  #bytes = 0
  #minute = { began: 0, bytes: 0 }

  constructor(parts: { folder: string; name: string; clock: Clock }) {
    this.#paths = logRingPaths(parts.folder, parts.name)
    this.#clock = parts.clock
    this.#minute.began = parts.clock.elapsed()
    attempt(() => {
      mkdirSync(parts.folder, { recursive: true, mode: 0o750 })
      this.#turn = changedMs(this.#paths[1]) > changedMs(this.#paths[0]) ? 1 : 0
      this.#open('a')
    })
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#file === undefined || !this.#admits(bytes)) return
    attempt(() => {
      if (this.#bytes + bytes > HALF_BYTES_MAX) this.#takeTurns()
      if (this.#file !== undefined) this.#bytes += writeSync(this.#file, line)
    })
  }

  #admits(bytes: number): boolean {
    const now = this.#clock.elapsed()
    if (now - this.#minute.began >= MINUTE_MS) this.#minute = { began: now, bytes: 0 }
    if (this.#minute.bytes + bytes > MINUTE_BYTES_MAX) return false
    this.#minute.bytes += bytes
    return true
  }

  #takeTurns(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    this.#turn = this.#turn === 0 ? 1 : 0
    this.#open('w')
  }

  #open(how: 'a' | 'w'): void {
    const file = openSync(this.#paths[this.#turn], how, 0o640)
    this.#bytes = fstatSync(file).size
    this.#file = file
  }
}

function changedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // On purpose: the line stands on standard error, and a log must not be what stops a process.
  }
}
