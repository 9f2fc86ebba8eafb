import { type Address, Memory, pointerAt } from './memory.ts'
import type { NativeFunction } from './ort-function.ts'
import { OPERATIONS } from './run-protocol.ts'

const STEP_WORDS = 8
const STEP_BYTES = STEP_WORDS * 8

type Step = (typeof OPERATIONS)[number]

/**
 * Native calls that one run thread makes one after the other, in native memory that is used again and again:
 *
 *   count | operation, arguments … | operation, arguments … | …
 */
export class Program {
  readonly #words: Memory
  #count = 0

  constructor(stepsMax: number) {
    this.#words = new Memory(8 + stepsMax * STEP_BYTES)
  }

  get address(): Address {
    return this.#words.address
  }

  clear(): void {
    this.#count = 0
    this.#words.setWord(0, 0)
  }

  /** What the addresses among `args` lead to has to stay until the program has ended. */
  add(operation: Step, ...args: readonly number[]): void {
    const at = 1 + this.#count * STEP_WORDS
    this.#words.setWord(at, OPERATIONS.indexOf(operation))
    for (let index = 0; index < STEP_WORDS - 1; index += 1)
      this.#words.setWord(at + 1 + index, args[index] ?? 0)
    this.#count += 1
    this.#words.setWord(0, this.#count)
  }
}

/** Up to the first that fails, whose status it gives back. `calls` are those of `OPERATIONS`. */
export function runProgram(calls: readonly NativeFunction[], program: Address): number {
  const count = pointerAt(program)
  for (let step = 0; step < count; step += 1) {
    const at = program + 8 + step * STEP_BYTES
    const argument = (index: number) => pointerAt(at, 8 + index * 8)
    const call = calls[pointerAt(at)]
    const status =
      call?.(argument(0), argument(1), argument(2), argument(3), argument(4), argument(5), argument(6)) ?? 0
    if (status !== 0) return status
  }
  return 0
}
