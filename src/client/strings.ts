import { EdgeError } from '../kit/errors.ts'

const LENGTH_BYTES = 4

/** A BYTES tensor: each element its length as a little-endian uint32, then the bytes themselves. */
export function encodeStrings(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text, 'utf8')
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return new Uint8Array(Buffer.concat(parts))
}

export function decodeStrings(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder()
  const texts: string[] = []
  let at = 0
  while (at < bytes.length) {
    const start = at + LENGTH_BYTES
    const end = start <= bytes.length ? start + view.getUint32(at, true) : Number.POSITIVE_INFINITY
    if (end > bytes.length) {
      throw new EdgeError(
        'peer_failed',
        `Cannot read a BYTES tensor: element ${texts.length} ends past the tensor's ${bytes.length} bytes`,
      )
    }
    texts.push(decoder.decode(bytes.subarray(start, end)))
    at = end
  }
  return texts
}
