/** Elements of a tensor as JavaScript has them, for comparing and for JSON; written apart from the server's own code. */
import type { V2Tensor } from '../kit/v2.ts'

export type Element = number | bigint | boolean | string

export function elementsOf({ datatype, bytes }: Pick<V2Tensor, 'datatype' | 'bytes'>): Element[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (datatype === 'BYTES') return stringsOf(bytes)
  const [size, read] = READERS[datatype] ?? []
  if (size === undefined || read === undefined) throw new Error(`Cannot read elements of ${datatype}`)
  return Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size))
}

/** As a client writes them: NaN and infinities as bare words, 64-bit integers with all their digits. */
export function jsonOf(elements: readonly Element[]): string {
  const texts = elements.map((element) => {
    if (typeof element === 'string') return JSON.stringify(element)
    return Object.is(element, -0) ? '-0.0' : String(element)
  })
  return `[${texts.join(',')}]`
}

const READERS: Readonly<Record<string, [size: number, read: (view: DataView, at: number) => Element]>> = {
  FP32: [4, (view, at) => view.getFloat32(at, true)],
  FP64: [8, (view, at) => view.getFloat64(at, true)],
  FP16: [2, (view, at) => view.getFloat16(at, true)],
  BF16: [2, (view, at) => bfloat16(view.getUint16(at, true))],
  INT8: [1, (view, at) => view.getInt8(at)],
  UINT8: [1, (view, at) => view.getUint8(at)],
  INT16: [2, (view, at) => view.getInt16(at, true)],
  UINT16: [2, (view, at) => view.getUint16(at, true)],
  INT32: [4, (view, at) => view.getInt32(at, true)],
  UINT32: [4, (view, at) => view.getUint32(at, true)],
  INT64: [8, (view, at) => view.getBigInt64(at, true)],
  UINT64: [8, (view, at) => view.getBigUint64(at, true)],
  BOOL: [1, (view, at) => view.getUint8(at) !== 0],
}

function bfloat16(bits: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint16(2, bits, true)
  return view.getFloat32(0, true)
}

function stringsOf(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const strings: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at, true)
    strings.push(Buffer.from(bytes.subarray(at + 4, end)).toString())
    at = end
  }
  return strings
}

/** ONNX's own bounds for its backends: |came - expected| <= ATOL + RTOL * |expected|. */
const RTOL = 1e-3
const ATOL = 1e-5

/** Undefined where they agree; else the first place where they do not. */
export function differenceOf(came: readonly Element[], expected: readonly Element[]): string | undefined {
  if (came.length !== expected.length) return `${came.length} elements, expected ${expected.length}`
  const at = came.findIndex((element, index) => !isClose(element, expected[index]))
  return at < 0 ? undefined : `element ${at} is ${came[at]}, expected ${expected[at]}`
}

function isClose(came: Element, expected: Element | undefined): boolean {
  if (came === expected || (Number.isNaN(came) && Number.isNaN(expected))) return true
  if (typeof came !== 'number' || typeof expected !== 'number') return false
  return Math.abs(came - expected) <= ATOL + RTOL * Math.abs(expected)
}
