import { assert } from '../kit/assert.ts'
import type { RunRequest, Tensor } from './backend.ts'
import { BoundInput } from './bound-input.ts'
import type { DeviceMemory } from './device-memory.ts'
import { type Address, Memory, pointerAt } from './memory.ts'
import { OutputReader } from './output-reader.ts'
import { Program, runProgram } from './program.ts'
import { checkRank, type RunTarget, type SessionCall } from './run-call.ts'
import { OPERATIONS } from './run-protocol.ts'

/**
 * One run at a time of a session whose tensors lie in a device's memory:
 *
 *   bytes that came ─► pinned memory ─► the input's place on the device ─► run ─► pinned memory ─► the answer
 *     main thread          run thread: one CopyTensors for all inputs, then RunWithBinding
 *
 * Not the pinned value itself: ONNX Runtime would take it for the device's own, and its kernels would read each element
 * across the bus as often as they need it. Places are bound once and keep their addresses while the shapes stay.
 */
export class BoundCall implements SessionCall {
  readonly operation = 'Program'
  readonly args: readonly number[]
  readonly #target: RunTarget
  readonly #memory: DeviceMemory
  readonly #binding: Address
  readonly #runOptions: Address
  readonly #program: Program
  readonly #inputs: ReadonlyMap<string, BoundInput>
  /** From where and to where inputs are copied. */
  readonly #sources: Memory
  readonly #targets: Memory
  readonly #reader: OutputReader
  /** The address and length of an array of values. */
  readonly #found = new Memory(16)
  readonly #values: Address[] = []
  /** The inputs whose places are bound, in the order in which they came. */
  #bound: readonly string[] = []
  #request: RunRequest | undefined
  #isTerminated = false

  constructor(target: RunTarget, memory: DeviceMemory) {
    const { ort, session, inputNames } = target
    const { functions } = ort
    this.#target = target
    this.#memory = memory
    this.#binding = ort.out((out) => functions.CreateIoBinding(session, out))
    this.#runOptions = ort.out((out) => functions.CreateRunOptions(out))
    this.#program = new Program(inputNames.size + 2)
    this.#inputs = new Map(Array.from(inputNames.keys(), (name) => [name, new BoundInput(ort, name, memory)]))
    this.#sources = new Memory(inputNames.size * 8)
    this.#targets = new Memory(inputNames.size * 8)
    this.#reader = new OutputReader(ort)
    this.args = [this.#program.address]
  }

  prepare(request: RunRequest): void {
    this.#request = request
    const { ort, session } = this.#target
    this.#forgetOthers(request)
    let copies = 0
    for (const tensor of request.inputs) copies += this.#setInput(tensor, copies)
    if (copies > 0) {
      const [from, to] = [this.#sources.address, this.#targets.address]
      this.#program.add('CopyTensors', ort.environment, from, to, 0, copies)
    }
    for (const output of request.outputs) this.#bindOutput(output)
    this.#program.add('RunWithBinding', session, this.#runOptions, this.#binding)
  }

  runInline(): number {
    const { functions } = this.#target.ort
    const calls = OPERATIONS.map((name) => functions[name])
    return runProgram(calls, this.#program.address)
  }

  terminate(): void {
    this.#isTerminated = true
    this.#target.ort.check(this.#target.ort.functions.RunOptionsSetTerminate(this.#runOptions))
  }

  /** Views over the host's memory, until `clear`. */
  collect(): Tensor[] {
    const { ort } = this.#target
    const { functions, allocator } = ort
    const at = this.#found.address
    ort.check(functions.GetBoundOutputValues(this.#binding, allocator, at, at + 8))
    const array = this.#found.word(0)
    for (let index = 0; index < this.#found.word(1); index += 1)
      this.#values.push(pointerAt(array, index * 8))
    if (array !== 0) ort.check(functions.AllocatorFree(allocator, array))
    const names = this.#request?.outputs ?? []
    return names.map((name, index) => this.#reader.read(name, this.#values[index] ?? 0))
  }

  clear(): void {
    const { ort } = this.#target
    for (const value of this.#values.splice(0)) ort.functions.ReleaseValue(value)
    ort.functions.ClearBoundOutputs(this.#binding)
    this.#letGoCopies()
    for (const input of this.#inputs.values()) input.clear()
    this.#program.clear()
    if (this.#isTerminated) ort.check(ort.functions.RunOptionsUnsetTerminate(this.#runOptions))
    this.#isTerminated = false
    this.#request = undefined
  }

  destroy(): void {
    this.clear()
    const { functions } = this.#target.ort
    functions.ReleaseIoBinding(this.#binding)
    for (const input of this.#inputs.values()) input.destroy()
    functions.ReleaseRunOptions(this.#runOptions)
  }

  /** An input that may be left out, and was there the last time, is not to be there this time. */
  #forgetOthers({ inputs }: RunRequest): void {
    const isSame =
      inputs.length === this.#bound.length && inputs.every(({ name }, index) => name === this.#bound[index])
    if (!isSame) this.#unbind()
  }

  /** What ONNX Runtime has brought to the device itself is its own copy, and of no more use. */
  #letGoCopies(): void {
    if (this.#request?.inputs.some(({ name }) => this.#inputs.get(name)?.target === undefined)) this.#unbind()
  }

  #unbind(): void {
    this.#target.ort.functions.ClearBoundInputs(this.#binding)
    this.#bound = []
  }

  /** How many copies it takes: one, or none where binding it does that. */
  #setInput(tensor: Tensor, copies: number): 0 | 1 {
    const { ort, inputNames } = this.#target
    const name = inputNames.get(tensor.name)
    const input = this.#inputs.get(tensor.name)
    assert(name !== undefined && input !== undefined, 'an input that is sent is in the signature')
    checkRank(tensor)
    const source = input.fill(tensor)
    const isNew = !this.#bound.includes(tensor.name)
    if (isNew) this.#bound = [...this.#bound, tensor.name]
    if (input.target === undefined) {
      this.#program.add('BindInput', this.#binding, name, source)
      return 0
    }
    const hasChanged = input.target.reserve(tensor)
    if (hasChanged || isNew) ort.check(ort.functions.BindInput(this.#binding, name, input.target.value))
    if (tensor.bytes.byteLength === 0) return 0
    this.#sources.setWord(copies, source)
    this.#targets.setWord(copies, input.target.value)
    return 1
  }

  #bindOutput(output: string): void {
    const { ort, outputNames } = this.#target
    const name = outputNames.get(output)
    assert(name !== undefined, 'an output that is asked for is in the signature')
    const info = this.#memory.outputs.has(output) ? this.#memory.host.info : ort.cpuMemory
    ort.check(ort.functions.BindOutputToDevice(this.#binding, name, info))
  }
}
