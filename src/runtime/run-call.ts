import { assert } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import type { RunRequest, Tensor } from './backend.ts'
import { InputSlot } from './input-slot.ts'
import { type Address, Memory } from './memory.ts'
import type { Ort } from './ort.ts'
import { OutputReader } from './output-reader.ts'
import type { Operation } from './run-protocol.ts'

const RANK_MAX = 64

/** What one session's calls have in common. */
export interface RunTarget {
  readonly ort: Ort
  readonly session: Address
  readonly inputNames: ReadonlyMap<string, Address>
  readonly outputNames: ReadonlyMap<string, Address>
}

/** One run of a session at a time, and what it needs in native memory. */
export interface SessionCall {
  /** What a run thread makes of `args`. */
  readonly operation: Operation
  readonly args: readonly number[]
  /** Afterwards it can be run. */
  prepare(request: RunRequest): void
  /** Here and now; the address of an `OrtStatus`, 0 for success. */
  runInline(): number
  /** Of a run that is under way. */
  terminate(): void
  /** The outputs, as views over memory that `clear` gives back. */
  collect(): Tensor[]
  clear(): void
  destroy(): void
}

/**
 * The arguments of one `OrtApi::Run`, in native memory that is used again and again:
 *
 *   inputNames[n] | inputs[n] | outputNames[m] | outputs[m]
 *
 * All values that it makes or receives are released by `clear` or `destroy`, whatever happened in between.
 */
export class RunCall implements SessionCall {
  readonly operation = 'Run'
  /** Of `OrtApi::Run`. The counts are those of the request that was prepared last. */
  readonly args: number[]
  readonly #target: RunTarget
  readonly #words: Memory
  readonly #runOptions: Address
  readonly #at: { readonly inputs: number; readonly outputNames: number; readonly outputs: number }
  readonly #slots: readonly InputSlot[]
  readonly #reader: OutputReader
  #request: RunRequest | undefined
  #isTerminated = false

  constructor(target: RunTarget) {
    const { ort, session } = target
    const inputs = target.inputNames.size
    const outputs = target.outputNames.size
    this.#target = target
    this.#at = { inputs, outputNames: 2 * inputs, outputs: 2 * inputs + outputs }
    this.#words = new Memory((2 * inputs + 2 * outputs) * 8)
    this.#slots = Array.from(target.inputNames, () => new InputSlot(ort))
    this.#reader = new OutputReader(ort)
    this.#runOptions = ort.out((out) => ort.functions.CreateRunOptions(out))
    const word = (index: number) => this.#words.address + index * 8
    const { outputNames } = this.#at
    this.args = [
      session,
      this.#runOptions,
      word(0),
      word(inputs),
      0,
      word(outputNames),
      0,
      word(this.#at.outputs),
    ]
  }

  /** Makes a value of each input; afterwards `args` can be run. */
  prepare(request: RunRequest): void {
    this.#request = request
    const { inputs, outputs } = request
    for (let index = 0; index < inputs.length; index += 1) this.#setInput(index, inputs[index] as Tensor)
    for (let index = 0; index < outputs.length; index += 1) {
      const name = this.#target.outputNames.get(outputs[index] as string)
      assert(name !== undefined, 'an output that is asked for is in the signature')
      this.#words.setWord(this.#at.outputNames + index, name)
    }
    this.args[ARGUMENT.inputs] = inputs.length
    this.args[ARGUMENT.outputs] = outputs.length
  }

  runInline(): number {
    return this.#target.ort.functions.Run(...this.args) ?? 0
  }

  /** ONNX Runtime looks at the flag between nodes. */
  terminate(): void {
    this.#isTerminated = true
    this.#target.ort.check(this.#target.ort.functions.RunOptionsSetTerminate(this.#runOptions))
  }

  /** The outputs, as views over memory that `clear` gives back. */
  collect(): Tensor[] {
    const names = this.#request?.outputs ?? []
    return names.map((name, index) => this.#reader.read(name, this.#words.word(this.#at.outputs + index)))
  }

  /** Releases the values of this run; the call can be used again. */
  clear(): void {
    const { ort, outputNames } = this.#target
    for (const slot of this.#slots) slot.clear()
    for (let index = this.#at.outputs; index < this.#at.outputs + outputNames.size; index += 1) {
      const value = this.#words.word(index)
      if (value === 0) continue
      ort.functions.ReleaseValue(value)
      this.#words.setWord(index, 0)
    }
    if (this.#isTerminated) ort.check(ort.functions.RunOptionsUnsetTerminate(this.#runOptions))
    this.#isTerminated = false
    this.#request = undefined
  }

  /** At the end of the session. */
  destroy(): void {
    this.clear()
    for (const slot of this.#slots) slot.destroy()
    this.#target.ort.functions.ReleaseRunOptions(this.#runOptions)
  }

  #setInput(index: number, tensor: Tensor): void {
    const name = this.#target.inputNames.get(tensor.name)
    const slot = this.#slots[index]
    assert(name !== undefined && slot !== undefined, 'an input that is sent is in the signature')
    checkRank(tensor)
    this.#words.setWord(index, name)
    this.#words.setWord(this.#at.inputs + index, slot.fill(tensor))
  }
}

export function checkRank({ name, shape }: Tensor): void {
  if (shape.length <= RANK_MAX) return
  const came = `rank ${shape.length}, at most ${RANK_MAX}`
  throw new EdgeError('input_invalid', `Cannot use input "${name}": ${came}`)
}

/** Where the counts stand among the arguments. */
const ARGUMENT = { inputs: 4, outputs: 6 } as const
