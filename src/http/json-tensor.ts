import { decodeBfloat16, encodeBfloat16 } from '../kit/bfloat16.ts'
import { EdgeError } from '../kit/errors.ts'
import { JSON_DEPTH_MAX } from '../kit/exact-json.ts'
import { byteLength, type Datatype } from '../runtime/datatypes.ts'
import { show } from './fields.ts'

/**
 * Tensors as JSON: nested or flat arrays in, a flat one out, row-major (Open Inference Protocol, "Tensor Data").
 * An element that its datatype cannot hold is refused, never rounded to fit.
 */

interface Numbers {
  [index: number]: number
  readonly length: number
  readonly buffer: ArrayBufferLike
  join(separator: string): string
}

const NUMBERS: Partial<
  Record<Datatype, new (buffer: ArrayBuffer, offset?: number, length?: number) => Numbers>
> = {
  FP16: Float16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
}

/** What `data` is for, in messages: model and input. */
export interface JsonData {
  readonly input: string
  readonly datatype: Datatype
  readonly elements: number
  readonly data: readonly unknown[]
}

/** The bytes of a tensor whose elements are given in JSON. */
export function decodeJsonData(from: JsonData): Uint8Array {
  const { datatype, elements } = from
  if (datatype === 'BYTES')
    return encodeTexts(flatten(from).map((element, index) => textOf(from, element, index)))
  const buffer = new ArrayBuffer(byteLength(datatype, elements))
  if (datatype === 'INT64' || datatype === 'UINT64') fillLongs(from, buffer)
  else if (datatype === 'BOOL') fillBooleans(from, new Uint8Array(buffer))
  else if (datatype === 'BF16') new Uint16Array(buffer).set(encodeBfloat16(fillFloats(from, Float32Array)))
  else {
    const Kind = NUMBERS[datatype]
    if (Kind === undefined)
      throw refuse(from, `datatype ${datatype} has no form in JSON, send it as binary data`)
    fillNumbers(from, new Kind(buffer))
  }
  return new Uint8Array(buffer)
}

/** The elements as the text of a JSON array. NaN and Infinity stay as they are, as Triton writes them. */
export function encodeJsonData(output: { name: string; datatype: Datatype; bytes: Uint8Array }): string {
  const { datatype, bytes } = output
  if (datatype === 'BYTES') return `[${decodeTexts(output).join(',')}]`
  if (datatype === 'BOOL') return `[${Array.from(bytes, (byte) => byte !== 0).join(',')}]`
  const numbers = readNumbers(output)
  if (numbers === undefined) {
    throw new EdgeError(
      'output_unsupported',
      `Cannot answer output "${output.name}" in JSON: ${datatype} has no form there, ask for it with "binary_data": true`,
    )
  }
  return `[${datatype.includes('INT') ? numbers.join(',') : joinFloats(numbers as Numbers)}]`
}

/** Joining writes a negative zero without its sign; looking for one is much cheaper than writing each by itself. */
function joinFloats(numbers: Numbers): string {
  let hasNegativeZero = false
  for (let index = 0; index < numbers.length; index += 1) {
    if (numbers[index] === 0 && Object.is(numbers[index], -0)) hasNegativeZero = true
  }
  if (!hasNegativeZero) return numbers.join(',')
  return Array.from(numbers, (number) => (Object.is(number, -0) ? '-0.0' : String(number))).join(',')
}

/** The elements as numbers, a view where there is one to be had; undefined for datatypes that JavaScript has none for. */
export function readNumbers({ datatype, bytes }: { datatype: Datatype; bytes: Uint8Array }) {
  const buffer = bytes.buffer as ArrayBuffer
  const at = bytes.byteOffset
  if (datatype === 'INT64') return new BigInt64Array(buffer, at, bytes.length / 8)
  if (datatype === 'UINT64') return new BigUint64Array(buffer, at, bytes.length / 8)
  if (datatype === 'BF16') return decodeBfloat16(new Uint16Array(buffer, at, bytes.length / 2))
  if (datatype === 'BOOL') return bytes
  const Kind = NUMBERS[datatype]
  return Kind === undefined ? undefined : new Kind(buffer, at, bytes.length / byteLength(datatype, 1))
}

function fillNumbers(from: JsonData, into: Numbers): void {
  const isFloat = from.datatype.startsWith('FP')
  let at = 0
  const fill = (data: readonly unknown[], depth: number) => {
    if (depth > JSON_DEPTH_MAX) throw refuseDepth(from)
    for (const element of data) {
      if (typeof element === 'number' && at < from.elements) {
        into[at] = element
        // What an integer type cannot hold wraps or loses its fraction, and so differs from what came; what a float
        // type cannot hold becomes infinite.
        if (isFloat ? isTooLarge(element, into[at]) : into[at] !== element)
          throw refuseElement(from, element, at)
        at += 1
      } else if (Array.isArray(element)) fill(element, depth + 1)
      else if (typeof element === 'bigint' && isFloat && at < from.elements) {
        into[at] = Number(element)
        at += 1
      } else if (at < from.elements) throw refuseElement(from, element, at)
      else throw refuse(from, `"data" holds more than the ${from.elements} elements of its shape`)
    }
  }
  fill(from.data, 1)
  if (at !== from.elements) throw refuse(from, `"data" holds ${at} elements, its shape has ${from.elements}`)
}

function isTooLarge(came: number, held: number | undefined): boolean {
  return (held === Number.POSITIVE_INFINITY || held === Number.NEGATIVE_INFINITY) && Number.isFinite(came)
}

function fillFloats(from: JsonData, Kind: Float32ArrayConstructor): Float32Array<ArrayBuffer> {
  const floats = new Kind(from.elements)
  fillNumbers({ ...from, datatype: 'FP32' }, floats)
  return floats
}

function fillLongs(from: JsonData, buffer: ArrayBuffer): void {
  const isSigned = from.datatype === 'INT64'
  const into = isSigned ? new BigInt64Array(buffer) : new BigUint64Array(buffer)
  for (const [index, element] of flatten(from).entries()) {
    const isWhole = typeof element === 'bigint' || Number.isSafeInteger(element)
    if (!isWhole) throw refuseElement(from, element, index)
    const long = BigInt(element as number | bigint)
    into[index] = long
    if (into[index] !== long) throw refuseElement(from, element, index)
  }
}

function fillBooleans(from: JsonData, into: Uint8Array): void {
  for (const [index, element] of flatten(from).entries()) {
    if (element !== true && element !== false && element !== 0 && element !== 1)
      throw refuseElement(from, element, index)
    into[index] = Number(element)
  }
}

function flatten(from: JsonData): unknown[] {
  const flat: unknown[] = from.data.flat(JSON_DEPTH_MAX - 1)
  if (flat.some(Array.isArray)) throw refuseDepth(from)
  if (flat.length !== from.elements) {
    throw refuse(from, `"data" holds ${flat.length} elements, its shape has ${from.elements}`)
  }
  return flat
}

function refuseDepth(from: JsonData): EdgeError {
  return refuse(from, `JSON nesting depth exceeds maximum allowed limit (${JSON_DEPTH_MAX})`)
}

function textOf(from: JsonData, element: unknown, index: number): string {
  if (typeof element === 'string') return element
  throw refuseElement(from, element, index)
}

const encoder = new TextEncoder()

/** Strings as the bytes of a BYTES tensor. */
export function encodeTexts(texts: readonly string[]): Uint8Array {
  const encoded = texts.map((text) => encoder.encode(text))
  const bytes = new Uint8Array(new ArrayBuffer(encoded.reduce((sum, text) => sum + 4 + text.length, 0)))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const text of encoded) {
    view.setUint32(at, text.length, true)
    bytes.set(text, at + 4)
    at += 4 + text.length
  }
  return bytes
}

function decodeTexts({ name, bytes }: { name: string; bytes: Uint8Array }): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const texts: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at, true)
    try {
      texts.push(JSON.stringify(decoder.decode(bytes.subarray(at + 4, end))))
    } catch (cause) {
      throw new EdgeError(
        'output_unsupported',
        `Cannot answer output "${name}" in JSON: element ${texts.length} is not UTF-8, ask for it with "binary_data": true`,
        { cause },
      )
    }
    at = end
  }
  return texts
}

function refuseElement(from: JsonData, element: unknown, index: number): EdgeError {
  return refuse(from, `element ${index} is ${show(element)}, expected ${from.datatype}`)
}

function refuse({ input }: JsonData, what: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot decode input "${input}": ${what}`)
}
