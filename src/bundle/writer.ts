import { createHash } from 'node:crypto'
import { encodeEnd, HEAD } from './format.ts'

/** The pieces of a bundle in order, for a file that is written as a whole or not at all. */
export async function* bundlePieces(entries: AsyncIterable<NewEntry>): AsyncGenerator<Uint8Array> {
  const listed: { name: string; bytes: number; sha256: string }[] = []
  const names = new Set<string>()
  yield HEAD
  for await (const { name, bytes } of entries) {
    // Two versions share what they have in common.
    if (names.has(name)) continue
    names.add(name)
    yield bytes
    listed.push({ name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
  }
  yield encodeEnd(listed)
}

export interface NewEntry {
  readonly name: string
  readonly bytes: Uint8Array
}
