import { EdgeError } from '../kit/errors.ts'
import { mayRound, parseExactJson } from '../kit/exact-json.ts'
import type { Tensor } from '../runtime/backend.ts'
import { byteLength, DATATYPES, type Datatype, elementCount, isDatatype } from '../runtime/datatypes.ts'
import { decodeJsonData } from './json-tensor.ts'

interface WantedOutput {
  readonly name: string
  readonly isBinary: boolean
}

/** An infer request as it came, understood but not yet held against the model. */
export interface DecodedRequest {
  readonly id: string
  readonly inputs: readonly Tensor[]
  /** Undefined: all outputs. */
  readonly outputs: readonly WantedOutput[] | undefined
  /** For outputs that do not say themselves. */
  readonly isBinaryOutput: boolean
}

type Json = Readonly<Record<string, unknown>>

const ELEMENTS_MAX = 2 ** 31
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Decodes a body: JSON, or JSON followed by binary data when `headerLength` says how long the JSON is (binary tensor
 * data extension). The tensors of the binary part are views into the body.
 */
export function decodeInferRequest(body: ArrayBuffer, headerLength: string | null): DecodedRequest {
  const jsonBytes = headerLength === null ? body.byteLength : parseHeaderLength(headerLength, body.byteLength)
  const root = asObject(parseText(decodeText(new Uint8Array(body, 0, jsonBytes))), 'The request')
  const parameters = asParameters(root['parameters'], 'The request')
  const binary = new BinaryPart(new Uint8Array(body, jsonBytes))
  const inputs = asArray(root['inputs'], '"inputs"').map((input, index) =>
    decodeInput(input, { index, jsonBytes, binary }),
  )
  binary.expectEnd()
  const isBinaryOutput = asBoolean(parameters['binary_data_output'], 'binary_data_output') ?? false
  return {
    id: asId(root['id']),
    inputs,
    outputs: root['outputs'] === undefined ? undefined : decodeOutputs(root['outputs'], isBinaryOutput),
    isBinaryOutput,
  }
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

function decodeInput(value: unknown, from: { index: number; jsonBytes: number; binary: BinaryPart }): Tensor {
  const input = asObject(value, `inputs[${from.index}]`)
  const name = input['name']
  if (typeof name !== 'string' || name === '')
    throw invalid(`Cannot decode inputs[${from.index}]: it has no "name"`)
  const datatype = asDatatype(name, input['datatype'])
  const { shape, elements } = asShape(name, input['shape'])
  const parameters = asParameters(input['parameters'], `Input "${name}"`)
  if (parameters['shared_memory_region'] !== undefined) {
    throw invalid(`Cannot decode input "${name}": shared memory is not supported, send "data" or binary data`)
  }
  const binarySize = parameters['binary_data_size']
  const data = input['data']
  if ((binarySize === undefined) === (data === undefined)) {
    throw invalid(
      `Cannot decode input "${name}": it has ${data === undefined ? 'neither' : 'both'} "data" and binary_data_size, expected one`,
    )
  }
  // Before memory is taken for them: no element is shorter than a byte of JSON.
  if (data !== undefined && elements > from.jsonBytes) {
    throw invalid(
      `Cannot decode input "${name}": its shape has ${elements} elements, more than ${from.jsonBytes} bytes of JSON can hold`,
    )
  }
  const bytes =
    binarySize === undefined
      ? decodeJsonData({ input: name, datatype, elements, data: asArray(data, `"data" of input "${name}"`) })
      : takeBinary(from.binary, { name, datatype, elements, size: binarySize })
  return { name, datatype, shape, bytes }
}

function takeBinary(
  binary: BinaryPart,
  input: { name: string; datatype: Datatype; elements: number; size: unknown },
): Uint8Array {
  const { name, datatype, elements, size } = input
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(
      `Cannot decode input "${name}": binary_data_size is ${show(size)}, expected a number of bytes`,
    )
  }
  const expected = byteLength(datatype, elements)
  if (datatype !== 'BYTES' && size !== expected) {
    throw invalid(
      `Cannot decode input "${name}": binary_data_size is ${size}, expected ${expected} for ${elements} elements of ${datatype}`,
    )
  }
  // Each string has four bytes of length: a shape that claims more must not reach the allocation of its strings.
  if (datatype === 'BYTES' && size < 4 * elements) {
    throw invalid(
      `Cannot decode input "${name}": binary_data_size is ${size}, expected at least ${4 * elements} for ${elements} elements of BYTES`,
    )
  }
  return binary.take(name, size)
}

function decodeOutputs(value: unknown, isBinaryOutput: boolean): WantedOutput[] {
  const seen = new Set<string>()
  return asArray(value, '"outputs"').map((item, index) => {
    const output = asObject(item, `outputs[${index}]`)
    const name = output['name']
    if (typeof name !== 'string' || name === '')
      throw invalid(`Cannot decode outputs[${index}]: it has no "name"`)
    if (seen.has(name)) throw invalid(`Cannot decode the request: output '${name}' already exists in request`)
    seen.add(name)
    const parameters = asParameters(output['parameters'], `Output "${name}"`)
    for (const unsupported of ['classification', 'shared_memory_region']) {
      if (parameters[unsupported] !== undefined)
        throw invalid(`Cannot answer output "${name}": ${unsupported} is not supported`)
    }
    return { name, isBinary: asBoolean(parameters['binary_data'], 'binary_data') ?? isBinaryOutput }
  })
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

/** Keys that begin with "triton_" are Triton's own, refused there too. */
function asParameters(value: unknown, whose: string): Json {
  if (value === undefined) return {}
  const parameters = asObject(value, `"parameters" of ${whose}`)
  const reserved = Object.keys(parameters).find((key) => key.startsWith('triton_'))
  if (reserved !== undefined) throw invalid(`Cannot decode the request: parameter "${reserved}" is reserved`)
  return parameters
}

function asBoolean(value: unknown, name: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  throw invalid(`Cannot decode the request: parameter "${name}" is ${show(value)}, expected true or false`)
}

function asObject(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw invalid(`Cannot decode the request: ${what} is ${show(value)}, expected an object`)
}

function asArray(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw invalid(`Cannot decode the request: ${what} is ${show(value)}, expected an array`)
}

function show(value: unknown): string {
  if (value === undefined) return 'missing'
  // Only the outermost level: what a client nests deeply must not overflow our stack.
  if (Array.isArray(value))
    return `[${value.slice(0, 8).map(showLeaf).join(',')}${value.length > 8 ? ',…' : ''}]`
  return showLeaf(value)
}

function showLeaf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? typeof value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function invalid(message: string, cause?: unknown): EdgeError {
  return new EdgeError('input_invalid', message, cause === undefined ? undefined : { cause })
}
