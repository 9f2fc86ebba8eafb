import { EdgeError } from '../kit/errors.ts'
import { type Address, Memory, viewAt } from './memory.ts'
import type { Ort } from './ort.ts'

/**
 * String tensors. ONNX Runtime keeps a std::string per element, which may hold any bytes; on our side a string tensor
 * is a run of uint32 lengths, each with that many bytes (binary tensor extension).
 */

interface Strings {
  /** Of the input, for messages. */
  readonly name: string
  readonly bytes: Uint8Array
  readonly count: number
}

/** Before memory is taken for so many: each needs the four bytes of its length. */
export function checkStrings({ name, bytes, count }: Strings): void {
  if (count * 4 <= bytes.length) return
  const expected = `at least ${count * 4} for their lengths`
  throw new EdgeError(
    'input_invalid',
    `Cannot read input "${name}": ${count} strings in ${bytes.length} bytes, ${expected}`,
  )
}

/** Copies the elements of `bytes` into the string tensor `value`. */
export function fillStrings(ort: Ort, value: Address, { name, bytes, count }: Strings): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Memory(8)
  let at = 0
  for (let index = 0; index < count; index += 1) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : bytes.length
    if (at + 4 + length > bytes.length) {
      throw new EdgeError(
        'input_invalid',
        `Cannot read input "${name}": string ${index} of ${count} ends beyond the ${bytes.length} bytes`,
      )
    }
    ort.check(ort.functions.GetResizedStringTensorElementBuffer(value, index, length, out.address))
    if (length > 0) viewAt(out.word(0), length).set(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  if (at !== bytes.length) {
    throw new EdgeError(
      'input_invalid',
      `Cannot read input "${name}": ${bytes.length - at} bytes are left over after ${count} strings`,
    )
  }
}

/** The elements of a string tensor, copied. */
export function readStrings(ort: Ort, value: Address, count: number): Uint8Array {
  if (count === 0) return new Uint8Array(0)
  const total = ort.out((out) => ort.functions.GetStringTensorDataLength(value, out))
  const content = new Memory(total)
  const offsets = new Memory(count * 8)
  ort.check(ort.functions.GetStringTensorContent(value, content.address, total, offsets.address, count))

  const bytes = new Uint8Array(new ArrayBuffer(total + 4 * count))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (let index = 0; index < count; index += 1) {
    const start = offsets.word(index)
    const end = index + 1 < count ? offsets.word(index + 1) : total
    view.setUint32(at, end - start, true)
    bytes.set(content.bytes.subarray(start, end), at + 4)
    at += 4 + end - start
  }
  return bytes
}
