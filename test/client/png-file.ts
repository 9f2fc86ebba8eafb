import { encode } from 'fast-png'
import type { SourceFile } from '../../src/client/source-file.ts'

/** Rows of pixels, each `[red, green, blue]` or `[red, green, blue, alpha]`. */
export function buildPng(rows: readonly (readonly (readonly number[])[])[]): Uint8Array<ArrayBuffer> {
  const [first = []] = rows
  const channels = first[0]?.length ?? 3
  const data = Uint8Array.from(rows.flat(2))
  return new Uint8Array(encode({ width: first.length, height: rows.length, channels, data }))
}

export function asImage(bytes: Uint8Array<ArrayBuffer>): SourceFile {
  return { name: 'photo.png', kind: 'image', bytes }
}
