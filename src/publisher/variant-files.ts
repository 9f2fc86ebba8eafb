import { join } from 'node:path'
import { findBoundaries } from '../store/chunks/boundaries.ts'
import { sha256Of, summarizeFile } from '../store/chunks/chunk-file.ts'
import type { IndexedChunk } from '../store/chunks/chunk-index.ts'
import type { Variant } from '../trust/manifest.ts'
import type { VersionFolder } from './version-folder.ts'

/** A file in chunks: what the manifest says of it, and what has to be uploaded. */
export interface CutFile {
  /** On this machine. */
  readonly source: string
  readonly boundaries: readonly number[]
  readonly listed: Variant['files'][number]
  readonly chunks: readonly IndexedChunk[]
  readonly index: Uint8Array
}

/** Reads every file once. */
export async function cutFiles({ path, files }: VersionFolder): Promise<CutFile[]> {
  const boundaries = findBoundaries(path, files)
  const cut: CutFile[] = []
  for (const file of files) {
    const source = join(path, file)
    const at = boundaries.get(file)?.at ?? []
    const { bytes, sha256, chunks, index } = await summarizeFile(source, at)
    const listed = { path: file, bytes, sha256, chunk_index: sha256Of(index) }
    cut.push({ source, boundaries: at, listed, chunks, index })
  }
  return cut
}
