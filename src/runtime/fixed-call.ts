import { assert } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import type { RunRequest, Signature, Tensor, TensorSpec } from './backend.ts'
import type { Allocation, DeviceMemory } from './device-memory.ts'
import { type Address, Memory } from './memory.ts'
import type { Ort } from './ort.ts'
import { OutputReader } from './output-reader.ts'
import { PlacedTensor } from './placed-tensor.ts'
import { Program, runProgram } from './program.ts'
import type { RunTarget, SessionCall } from './run-call.ts'
import { OPERATIONS } from './run-protocol.ts'

/**
 * A session's one set of places on its device, for a CUDA graph: what was captured once is played again on the same
 * addresses, whatever is bound by then. So all runs of the session use them, one after the other.
 */
export class FixedPlaces {
  readonly binding: Address
  readonly inputs: ReadonlyMap<string, PlacedTensor>
  readonly outputs: ReadonlyMap<string, PlacedTensor>
  readonly #ort: Ort

  constructor(
    { ort, session, inputNames, outputNames }: RunTarget,
    memory: DeviceMemory,
    signature: Signature,
  ) {
    const { functions } = ort
    this.#ort = ort
    this.binding = ort.out((out) => functions.CreateIoBinding(session, out))
    this.inputs = placeAll(ort, signature.inputs, (name) => memory.inputs.get(name))
    this.outputs = placeAll(ort, signature.outputs, (name) => memory.outputs.get(name))
    for (const [name, { value }] of this.inputs)
      ort.check(functions.BindInput(this.binding, inputNames.get(name) ?? 0, value))
    for (const [name, { value }] of this.outputs)
      ort.check(functions.BindOutput(this.binding, outputNames.get(name) ?? 0, value))
  }

  destroy(): void {
    this.#ort.functions.ReleaseIoBinding(this.binding)
    for (const place of [...this.inputs.values(), ...this.outputs.values()]) place.destroy()
  }
}

/** What keeps a session from having such places; nobody could say afterwards why its answers are wrong. */
export function fixedProblems(
  { inputs, outputs, unsupportedOutputs }: Signature,
  memory: DeviceMemory | undefined,
): string[] {
  if (memory === undefined) return ['its provider has no memory of its own']
  if (memory.inputs.size === 0)
    return [
      'its provider has to come as a plug-in (runtime.provider_libraries), which ONNX Runtime can copy to',
    ]
  const open = (spec: TensorSpec) => spec.datatype === 'BYTES' || (spec.shape?.includes(-1) ?? true)
  const shown = ({ name, datatype, shape }: TensorSpec) =>
    `"${name}" is ${datatype} [${shape?.join(',') ?? '…'}]`
  return [
    ...[...inputs, ...outputs]
      .filter(open)
      .map(
        (spec) => `${shown(spec)}, and has to be numbers of one shape (session.free_dimensions fixes one)`,
      ),
    ...inputs.filter(({ isOptional }) => isOptional).map(({ name }) => `"${name}" may be left out`),
    ...inputs
      .filter(({ name }) => !memory.inputs.has(name))
      .map(({ name }) => `"${name}" is not on the device`),
    ...outputs
      .filter(({ name }) => !memory.outputs.get(name))
      .map(({ name }) => `"${name}" is not on the device`),
    ...unsupportedOutputs.map(({ name, kind }) => `"${name}" is a ${kind}`),
  ]
}

/** One run on the fixed places: what comes and what goes lies in memory of the host that is the call's own. */
export class FixedCall implements SessionCall {
  readonly operation = 'Program'
  readonly args: readonly number[]
  readonly #target: RunTarget
  readonly #places: FixedPlaces
  readonly #runOptions: Address
  readonly #program = new Program(3)
  readonly #inputs: ReadonlyMap<string, PlacedTensor>
  readonly #outputs: ReadonlyMap<string, PlacedTensor>
  /** inputs here | inputs there | outputs there | outputs here */
  readonly #words: Memory
  readonly #reader: OutputReader
  #wanted: readonly string[] = []
  #isTerminated = false

  constructor(
    target: RunTarget,
    memory: DeviceMemory,
    { places, signature }: { places: FixedPlaces; signature: Signature },
  ) {
    const { ort } = target
    this.#target = target
    this.#places = places
    this.#runOptions = ort.out((out) => ort.functions.CreateRunOptions(out))
    this.#inputs = placeAll(ort, signature.inputs, () => memory.host)
    this.#outputs = placeAll(ort, signature.outputs, () => memory.host)
    this.#words = new Memory((2 * this.#inputs.size + 2 * this.#outputs.size) * 8)
    this.#reader = new OutputReader(ort)
    this.args = [this.#program.address]
    let index = 0
    for (const [name, { value }] of this.#inputs) {
      this.#words.setWord(index, value)
      this.#words.setWord(this.#inputs.size + index, places.inputs.get(name)?.value ?? 0)
      index += 1
    }
  }

  prepare({ inputs, outputs }: RunRequest): void {
    const { ort, session } = this.#target
    const count = this.#inputs.size
    if (inputs.length !== count)
      throw new EdgeError('input_invalid', `Cannot run: ${inputs.length} inputs came, expected all ${count}`)
    for (const tensor of inputs) this.#set(tensor)
    this.#wanted = outputs
    const word = (index: number) => this.#words.address + index * 8
    for (const [index, name] of outputs.entries()) {
      const [there, here] = [this.#places.outputs.get(name), this.#outputs.get(name)]
      assert(there !== undefined && here !== undefined, 'an output that is asked for is in the signature')
      this.#words.setWord(2 * count + index, there.value)
      this.#words.setWord(2 * count + this.#outputs.size + index, here.value)
    }
    this.#program.add('CopyTensors', ort.environment, word(0), word(count), 0, count)
    this.#program.add('RunWithBinding', session, this.#runOptions, this.#places.binding)
    const from = word(2 * count)
    const to = word(2 * count + this.#outputs.size)
    this.#program.add('CopyTensors', ort.environment, from, to, 0, outputs.length)
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

  collect(): Tensor[] {
    return this.#wanted.map((name) => this.#reader.read(name, this.#outputs.get(name)?.value ?? 0))
  }

  clear(): void {
    const { ort } = this.#target
    this.#program.clear()
    if (this.#isTerminated) ort.check(ort.functions.RunOptionsUnsetTerminate(this.#runOptions))
    this.#isTerminated = false
  }

  destroy(): void {
    this.clear()
    for (const place of [...this.#inputs.values(), ...this.#outputs.values()]) place.destroy()
    this.#target.ort.functions.ReleaseRunOptions(this.#runOptions)
  }

  #set({ name, shape, bytes }: Tensor): void {
    const place = this.#inputs.get(name)
    assert(place !== undefined, 'an input that is sent is in the signature')
    if (bytes.byteLength !== place.length) {
      const came = `[${shape.join(',')}] is ${bytes.byteLength} bytes, expected ${place.length}`
      throw new EdgeError('input_invalid', `Cannot use input "${name}": ${came}`)
    }
    place.bytes.set(bytes)
  }
}

function placeAll(
  ort: Ort,
  specs: readonly TensorSpec[],
  allocationOf: (name: string) => Allocation | undefined,
): Map<string, PlacedTensor> {
  return new Map(
    specs.map(({ name, datatype, shape }) => {
      const allocation = allocationOf(name)
      assert(allocation !== undefined && shape !== undefined, 'fixed places were found possible')
      const place = new PlacedTensor(ort, allocation)
      place.reserve({ datatype, shape })
      return [name, place]
    }),
  )
}
