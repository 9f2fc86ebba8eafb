import { EdgeError } from '../kit/errors.ts'
import type { SourceFile } from './source-file.ts'
import { quote } from './text.ts'

const CHUNK_HEADER_BYTES = 8
const RIFF_HEADER_BYTES = 12

/** The chunks of a WAV file by name: `RIFF`, size, `WAVE`, then name, size and content of each. */
export function listChunks(file: SourceFile): Map<string, DataView> {
  const view = new DataView(file.bytes.buffer, file.bytes.byteOffset, file.bytes.byteLength)
  demand(file, view.byteLength >= RIFF_HEADER_BYTES, `it has ${view.byteLength} bytes`)
  const isWave = readName(view, 0) === 'RIFF' && readName(view, 8) === 'WAVE'
  demand(file, isWave, 'it does not begin with RIFF and WAVE')
  const end = CHUNK_HEADER_BYTES + view.getUint32(4, true)
  demand(file, end <= view.byteLength, `its header says ${end} bytes, it has ${view.byteLength}`)

  const chunks = new Map<string, DataView>()
  let at = RIFF_HEADER_BYTES
  while (at + CHUNK_HEADER_BYTES <= end) {
    const name = readName(view, at)
    const size = view.getUint32(at + 4, true)
    const start = at + CHUNK_HEADER_BYTES
    demand(file, start + size <= end, `its chunk ${quote(name)} of ${size} bytes ends past the file`)
    // Notes and tags may come several times; which of two formats holds, nobody can say.
    const isTwice = chunks.has(name) && (name === 'fmt ' || name === 'data')
    demand(file, !isTwice, `it has two chunks ${quote(name)}`)
    chunks.set(name, new DataView(view.buffer, view.byteOffset + start, size))
    // Chunks begin at even offsets.
    at = start + size + (size % 2)
  }
  return chunks
}

export function demand(file: SourceFile, condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new EdgeError('input_invalid', `Cannot read ${quote(file.name)} as WAV: ${otherwise}`)
}

function readName(view: DataView, offset: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + offset, 4))
}
