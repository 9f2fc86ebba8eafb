import { type EmbeddedFile, findUnpacked, readEmbedded } from '../../kit/embedded-file.ts'
import { memoryFile } from '../../runtime/memory-file.ts'
import { unpackFolder } from '../runtime.ts'

/** A library from inside the binary, for a look: as an earlier start has unpacked it, else in memory alone. */
export async function borrowEmbedded(file: EmbeddedFile, state: string): Promise<string> {
  const unpacked = await findUnpacked(file, unpackFolder(state))
  if (unpacked !== undefined) return unpacked
  const name = file.kind === 'packed' ? file.name : 'library'
  return memoryFile(name, await readEmbedded(file))
}
