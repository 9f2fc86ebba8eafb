/** Infer requests of all kinds, written down here in a way of their own: nothing of src/http encodes them. */
import fc from 'fast-check'
import type { Tensor } from '../../src/runtime/backend.ts'
import { byteLength, DATATYPES, type Datatype } from '../../src/runtime/datatypes.ts'

export const ALL = Object.keys(DATATYPES) as Datatype[]

/** For each datatype with a form in JSON: an element as its text there, and as its bytes. */
interface Form {
  readonly element: fc.Arbitrary<{ readonly text: string; readonly bytes: readonly number[] }>
}

function bytesOf(bits: number, write: (view: DataView) => void): number[] {
  const view = new DataView(new ArrayBuffer(bits / 8))
  write(view)
  return [...new Uint8Array(view.buffer)]
}

/** As clients write them; the bare words beside RFC 8259 are Python's and Triton's. */
function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function integers(bits: 8 | 16 | 32, isSigned: boolean): Form {
  const [min, max] = isSigned ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1]
  const toForm = (value: number) => ({
    text: String(value),
    // A view of 32 bits wraps as the smaller ones do; its low bytes are theirs.
    bytes: bytesOf(32, (view) => view.setInt32(0, value, true)).slice(0, bits / 8),
  })
  return { element: fc.integer({ min, max }).map(toForm) }
}

function longs(isSigned: boolean): Form {
  const bounds = isSigned ? { min: -(2n ** 63n), max: 2n ** 63n - 1n } : { min: 0n, max: 2n ** 64n - 1n }
  const toForm = (value: bigint) => ({
    text: String(value),
    bytes: bytesOf(64, (view) => view.setBigInt64(0, BigInt.asIntN(64, value), true)),
  })
  return { element: fc.oneof(fc.bigInt(bounds), fc.bigInt({ min: 0n, max: 100n })).map(toForm) }
}

function floats(bits: 16 | 32 | 64): Form {
  const write = { 16: 'setFloat16', 32: 'setFloat32', 64: 'setFloat64' } as const
  const read = { 16: 'getFloat16', 32: 'getFloat32', 64: 'getFloat64' } as const
  const toForm = (given: number) => {
    const view = new DataView(new ArrayBuffer(8))
    view[write[bits]](0, given, true)
    // The number that these bits are: what JSON then says is exact.
    const value = view[read[bits]](0, true)
    return { text: numberText(value), bytes: [...new Uint8Array(view.buffer, 0, bits / 8)] }
  }
  return { element: fc.oneof(fc.double(), fc.float(), fc.integer({ min: -100, max: 100 })).map(toForm) }
}

function brainFloats(): Form {
  const toForm = (half: number) => {
    const bytes = [half & 0xff, half >> 8]
    const value = new DataView(Uint8Array.of(0, 0, ...bytes).buffer).getFloat32(0, true)
    return { text: numberText(value), bytes }
  }
  // Of all NaN only the plain one comes back from the word.
  const isPlain = (half: number) => (half & 0x7fff) <= 0x7f80 || half === 0x7fc0
  return { element: fc.nat(0xffff).filter(isPlain).map(toForm) }
}

const BOOLEANS: Form = {
  element: fc.constantFrom(
    { text: 'true', bytes: [1] },
    { text: 'false', bytes: [0] },
    { text: '1', bytes: [1] },
    { text: '0', bytes: [0] },
  ),
}

const STRINGS: Form = {
  element: fc.string({ unit: 'binary', maxLength: 12 }).map((value) => {
    const content = [...Buffer.from(value)]
    const length = bytesOf(32, (view) => view.setUint32(0, content.length, true))
    return { text: JSON.stringify(value), bytes: [...length, ...content] }
  }),
}

const FORMS: Partial<Record<Datatype, Form>> = {
  BOOL: BOOLEANS,
  UINT8: integers(8, false),
  UINT16: integers(16, false),
  UINT32: integers(32, false),
  UINT64: longs(false),
  INT8: integers(8, true),
  INT16: integers(16, true),
  INT32: integers(32, true),
  INT64: longs(true),
  FP16: floats(16),
  FP32: floats(32),
  FP64: floats(64),
  BF16: brainFloats(),
  BYTES: STRINGS,
}

export const IN_JSON = Object.keys(FORMS) as Datatype[]

const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 })
const elementsOf = (dimensions: readonly number[]) => dimensions.reduce((product, size) => product * size, 1)

/** An input with what it says in JSON and what follows in the binary part. */
export interface Part {
  readonly tensor: Tensor
  readonly json: string
  readonly binary: readonly number[]
}

function nest(texts: readonly string[], dimensions: readonly number[]): string {
  const [size, ...rest] = dimensions
  if (size === undefined || rest.length === 0) return `[${texts.join(',')}]`
  const step = elementsOf(rest)
  const rows = Array.from({ length: size }, (_, row) => nest(texts.slice(row * step, (row + 1) * step), rest))
  return `[${rows.join(',')}]`
}

/** "data", flat or nested by its shape. */
export function jsonPart(datatype: Datatype): fc.Arbitrary<Part> {
  const element = FORMS[datatype]?.element ?? fc.constant({ text: '0', bytes: [0] })
  return fc
    .record({ name: fc.string({ minLength: 1, maxLength: 5 }), shape, isNested: fc.boolean() })
    .chain((head) => {
      const length = elementsOf(head.shape)
      return fc.array(element, { minLength: length, maxLength: length }).map((elements) => {
        const texts = elements.map(({ text }) => text)
        const data = head.isNested ? nest(texts, head.shape) : `[${texts.join(', ')}]`
        const bytes = Uint8Array.from(elements.flatMap((item) => item.bytes))
        const json = `{"name":${JSON.stringify(head.name)},"shape":[${head.shape}],"datatype":"${datatype}","data":${data}}`
        return { tensor: { name: head.name, datatype, shape: head.shape, bytes }, json, binary: [] }
      })
    })
}

/** Any bytes of the right length; strings with theirs in front. */
export function binaryPart(datatype: Datatype): fc.Arbitrary<Part> {
  return fc.record({ name: fc.string({ minLength: 1, maxLength: 5 }), shape }).chain((head) => {
    const count = elementsOf(head.shape)
    const length = byteLength(datatype, count)
    const content =
      datatype === 'BYTES'
        ? fc
            .array(STRINGS.element, { minLength: count, maxLength: count })
            .map((all) => all.flatMap((item) => item.bytes))
        : fc.array(fc.nat(255), { minLength: length, maxLength: length })
    return content.map((bytes) => {
      const json = `{"name":${JSON.stringify(head.name)},"datatype":"${datatype}","shape":[${head.shape}],"parameters":{"binary_data_size":${bytes.length}}}`
      return {
        tensor: { name: head.name, datatype, shape: head.shape, bytes: Uint8Array.from(bytes) },
        json,
        binary: bytes,
      }
    })
  })
}

const anyPart = fc.oneof(
  fc.constantFrom(...IN_JSON).chain(jsonPart),
  fc.constantFrom(...ALL).chain(binaryPart),
)

export interface WholeRequest {
  readonly body: Uint8Array<ArrayBuffer>
  /** Null where there is no binary part: then the header may be missing. */
  readonly headerLength: string | null
  readonly tensors: readonly Tensor[]
}

/** Any request that is right in itself. */
export const wholeRequest: fc.Arbitrary<WholeRequest> = fc
  .record({ parts: fc.array(anyPart, { maxLength: 4 }), space: fc.constantFrom('', ' ', '\n\t') })
  .map(({ parts, space }) => {
    const json = Buffer.from(
      `${space}{"inputs":${space}[${parts.map((part) => part.json).join(`,${space}`)}]}`,
    )
    const binary = parts.flatMap((part) => part.binary)
    const body = Uint8Array.from([...json, ...binary])
    const hasBinary = parts.some((part) => part.json.includes('"binary_data_size":'))
    const headerLength = hasBinary ? String(json.length) : null
    return { body, headerLength, tensors: parts.map(({ tensor }) => tensor) }
  })
