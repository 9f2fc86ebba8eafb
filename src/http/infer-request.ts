import type { SequencePart } from '../inference/sequences/plan.ts'
import { mayRound, parseExactJson } from '../kit/exact-json.ts'
import type { Tensor } from '../runtime/backend.ts'
import { byteLength, DATATYPES, type Datatype, elementCount, isDatatype } from '../runtime/datatypes.ts'
import { asArray, asBoolean, asCount, asObject, asParameters, invalid, type Json, show } from './fields.ts'
import { decodeJsonData } from './json-tensor.ts'
import { asSequence } from './sequence.ts'
import { findShared, type SharedRegions } from './shared-regions.ts'
import { bindOutput, decodeOutputs, type ParsedOutput, type WantedOutput } from './wanted-outputs.ts'

/** An infer request as it came, understood but not yet held against the model. */
export interface DecodedRequest {
  readonly id: string
  readonly inputs: readonly Tensor[]
  /** Undefined: all outputs. */
  readonly outputs: readonly WantedOutput[] | undefined
  /** For outputs that do not say themselves. */
  readonly isBinaryOutput: boolean
  /** 0: the model's default. 1 is served first. */
  readonly priority?: number
  /** How long the client will wait, where the model's settings let it say so. 0: as long as it takes. */
  readonly timeoutMs?: number
  /** Some of its inputs lie in memory that the client may still write to. */
  readonly isVolatile?: boolean | undefined
  readonly sequence?: SequencePart | undefined
}

/** Understood as far as that goes without looking at shared memory, which only one thread knows. */
export interface ParsedRequest extends DecodedRequest {
  /** For each input that lies there, its parameters; undefined where there is none. */
  readonly sharedInputs: readonly (Json | undefined)[] | undefined
  readonly outputs: readonly ParsedOutput[] | undefined
}

const ELEMENTS_MAX = 2 ** 31
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Decodes a body: JSON, or JSON followed by binary data when `headerLength` says how long the JSON is (binary tensor
 * data extension). The tensors of the binary part are views into the body.
 */
export function decodeInferRequest(
  body: ArrayBuffer,
  headerLength: string | null,
  regions?: SharedRegions | undefined,
): DecodedRequest {
  return bindShared(parseInferRequest(body, headerLength), regions)
}

/** Everything of it that any thread can do. */
export function parseInferRequest(body: ArrayBuffer, headerLength: string | null): ParsedRequest {
  const jsonBytes = headerLength === null ? body.byteLength : parseHeaderLength(headerLength, body.byteLength)
  const text = decodeText(new Uint8Array(body, 0, jsonBytes))
  const root = asObject(parseText(text), 'The request')
  const parameters = asParameters(root['parameters'], 'The request')
  const binary = new BinaryPart(new Uint8Array(body, jsonBytes))
  const given = asArray(root['inputs'], '"inputs"').map((input, index) =>
    decodeInput(input, { index, jsonBytes, binary }),
  )
  binary.expectEnd()
  const isBinaryOutput = asBoolean(parameters['binary_data_output'], 'binary_data_output') ?? false
  return {
    id: asId(root['id']),
    inputs: given.map(({ tensor }) => tensor),
    outputs: root['outputs'] === undefined ? undefined : decodeOutputs(root['outputs'], { isBinaryOutput }),
    isBinaryOutput,
    priority: asCount(parameters['priority'], 'priority'),
    timeoutMs: asCount(parameters['timeout'], 'timeout') / 1000,
    isVolatile: false,
    sharedInputs: given.some(({ shared }) => shared !== undefined)
      ? given.map(({ shared }) => shared)
      : undefined,
    sequence: parameters['sequence_id'] === undefined ? undefined : asSequence(parameters, text),
  }
}

/** The same with the bytes of what lies in shared memory. */
export function bindShared(parsed: ParsedRequest, regions: SharedRegions | undefined): DecodedRequest {
  const { sharedInputs, outputs } = parsed
  const bound = outputs?.some(({ sharedAt }) => sharedAt !== undefined)
    ? outputs.map((output) => bindOutput(output, regions))
    : outputs
  if (sharedInputs === undefined) return bound === outputs ? parsed : { ...parsed, outputs: bound }
  const inputs = parsed.inputs.map((tensor, index) => {
    const at = sharedInputs[index]
    return at === undefined ? tensor : { ...tensor, bytes: findInput(tensor, at, regions) }
  })
  return { ...parsed, inputs, outputs: bound, isVolatile: true }
}

function findInput(tensor: Tensor, at: Json, regions: SharedRegions | undefined): Uint8Array {
  const bytes = findShared(at, regions)
  const { name, datatype, shape } = tensor
  asSize(bytes.byteLength, 'shared_memory_byte_size', { name, datatype, elements: elementCount(shape) })
  return bytes
}

/** The bytes after the JSON, taken from the front by the inputs in their order. */
class BinaryPart {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  take(input: string, length: number): Uint8Array {
    const left = this.#bytes.length - this.#at
    if (length > left) {
      throw invalid(
        `Cannot decode input "${input}": unexpected size, expecting ${length} bytes of binary data, ${left} left`,
      )
    }
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  expectEnd(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0)
      throw invalid(
        `Cannot decode the request: unexpected additional input data: ${left} bytes after the last input`,
      )
  }
}

interface Sources {
  readonly index: number
  readonly jsonBytes: number
  readonly binary: BinaryPart
}

/** An input, and where its bytes are if they are not here. */
interface GivenInput {
  readonly tensor: Tensor
  readonly shared: Json | undefined
}

/** What an input says of itself, its elements aside. */
interface Described {
  readonly name: string
  readonly datatype: Datatype
  readonly elements: number
}

function decodeInput(value: unknown, from: Sources): GivenInput {
  const input = asObject(value, `inputs[${from.index}]`)
  const name = input['name']
  if (typeof name !== 'string' || name === '')
    throw invalid(`Cannot decode inputs[${from.index}]: it has no "name"`)
  const datatype = asDatatype(name, input['datatype'])
  const { shape, elements } = asShape(name, input['shape'])
  const parameters = asParameters(input['parameters'], `Input "${name}"`)
  const isShared = parameters['shared_memory_region'] !== undefined
  const bytes = takeBytes(input, { parameters, described: { name, datatype, elements }, isShared }, from)
  return { tensor: { name, datatype, shape, bytes }, shared: isShared ? parameters : undefined }
}

const NO_BYTES = new Uint8Array(new ArrayBuffer(0))

/** Exactly one place says where the elements are. */
function takeBytes(
  input: Json,
  { parameters, described, isShared }: { parameters: Json; described: Described; isShared: boolean },
  from: Sources,
): Uint8Array {
  const { name, datatype, elements } = described
  const size = parameters['binary_data_size']
  const data = input['data']
  const sources = Number(size !== undefined) + Number(data !== undefined) + Number(isShared)
  if (sources !== 1) throw refuseSources(name, { size, data, shared: isShared || undefined })
  if (size !== undefined) return from.binary.take(name, asSize(size, 'binary_data_size', described))
  if (isShared) return NO_BYTES
  // Before memory is taken for them: no element is shorter than a byte of JSON.
  if (elements > from.jsonBytes) {
    throw invalid(
      `Cannot decode input "${name}": its shape has ${elements} elements, more than ${from.jsonBytes} bytes of JSON can hold`,
    )
  }
  return decodeJsonData({ input: name, datatype, elements, data: asArray(data, `"data" of input "${name}"`) })
}

function refuseSources(input: string, { size, data, shared }: Record<'size' | 'data' | 'shared', unknown>) {
  const came = Object.entries({ '"data"': data, binary_data_size: size, shared_memory_region: shared })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name)
  const has =
    came.length === 0
      ? 'neither "data" nor binary_data_size nor shared_memory_region'
      : `both ${came.join(' and ')}`
  return invalid(`Cannot decode input "${input}": it has ${has}, expected one`)
}

/** A number of bytes that fits the shape. */
function asSize(size: unknown, key: string, { name, datatype, elements }: Described): number {
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`Cannot decode input "${name}": ${key} is ${show(size)}, expected a number of bytes`)
  }
  const expected = byteLength(datatype, elements)
  if (datatype !== 'BYTES' && size !== expected) {
    throw invalid(
      `Cannot decode input "${name}": ${key} is ${size}, expected ${expected} for ${elements} elements of ${datatype}`,
    )
  }
  // Each string has four bytes of length: a shape that claims more must not reach the allocation of its strings.
  if (datatype === 'BYTES' && size < 4 * elements) {
    throw invalid(
      `Cannot decode input "${name}": ${key} is ${size}, expected at least ${4 * elements} for ${elements} elements of BYTES`,
    )
  }
  return size
}

function parseHeaderLength(text: string, bodyBytes: number): number {
  const length = /^\d{1,10}$/.test(text) ? Number(text) : -1
  if (length >= 1 && length <= bodyBytes) return length
  throw invalid(
    `Cannot decode the request: Inference-Header-Content-Length is "${text}", expected the length of the JSON: ` +
      `1 to ${bodyBytes} bytes`,
  )
}

/** Only 64-bit integers can lose digits; floats of clients often have 17, and must not pay for the slow reader. */
function parseText(text: string): unknown {
  return parseExactJson(text, { keepsIntegers: text.includes('INT64') && mayRound(text) })
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw invalid('Cannot parse JSON: the body is not UTF-8', cause)
  }
}

function asShape(input: string, value: unknown): { shape: number[]; elements: number } {
  const shape = asArray(value, `"shape" of input "${input}"`)
  for (const dimension of shape) {
    if (typeof dimension !== 'number' || !Number.isSafeInteger(dimension) || dimension < 0) {
      throw invalid(`Cannot decode input "${input}": shape is ${show(shape)}, expected integers of 0 or more`)
    }
  }
  const dimensions = shape as number[]
  const elements = elementCount(dimensions)
  // One dimension of 0 makes the product 0, whatever the others claim.
  if (elements > ELEMENTS_MAX || dimensions.some((dimension) => dimension > ELEMENTS_MAX)) {
    throw invalid(
      `Cannot decode input "${input}": shape ${show(shape)} overflows, at most ${ELEMENTS_MAX} elements`,
    )
  }
  return { shape: dimensions, elements }
}

function asDatatype(input: string, value: unknown): Datatype {
  if (typeof value === 'string' && isDatatype(value)) return value
  throw invalid(
    `Cannot decode input "${input}": datatype is ${show(value)}, expected one of ${Object.keys(DATATYPES).join(' ')}`,
  )
}

function asId(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value
  throw invalid(`Cannot decode the request: "id" is ${show(value)}, expected a string`)
}
