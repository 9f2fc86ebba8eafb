import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { assert } from './assert.ts'
import { sweepDrafts, writeDurably } from './durable-file.ts'
import { EdgeError, messageOf } from './errors.ts'

/** A file inside the binary (`packed`: zstd, unpacked before use) or in `node_modules` (`plain`). */
export type EmbeddedFile =
  | { readonly kind: 'plain'; readonly path: string }
  | {
      readonly kind: 'packed'
      readonly path: string
      /** The name it gets on disk. */
      readonly name: string
      /** Of the unpacked file, lower-case hex. */
      readonly sha256: string
      /** Of the unpacked file. */
      readonly bytes: number
    }

/**
 * The path of the file on disk, unpacked under `folder/<sha256>/name` if it is not there yet. A file from an earlier
 * start is hashed again before it is used: flash rots, and what is loaded here runs inside the process.
 * Two processes may do this at once: each writes a draft of its own and the rename decides.
 */
export async function unpackEmbedded(file: EmbeddedFile, folder: string): Promise<string> {
  if (file.kind === 'plain') return file.path
  const home = join(folder, file.sha256)
  const path = join(home, file.name)
  if (await isUnpacked(path, file)) return path

  const bytes = await readEmbedded(file)
  try {
    await mkdir(home, { recursive: true })
    await writeDurably(path, bytes, 0o755)
    await chmod(path, 0o755)
    // Of a process that was cut off; one that is still at it finds that the file is there by now.
    await sweepDrafts(home)
    await removeOthers(folder, file)
  } catch (cause) {
    if (await isUnpacked(path, file)) return path
    throw new EdgeError(
      'storage_failed',
      `Cannot unpack "${file.name}" (${file.bytes} bytes) into "${home}": ${messageOf(cause)}; ` +
        'give a folder that this user can write to with --state DIR or LIMPET_STATE',
      { cause },
    )
  }
  return path
}

/** Where it lies whole from an earlier start; undefined: nowhere. Writes nothing. */
export async function findUnpacked(file: EmbeddedFile, folder: string): Promise<string | undefined> {
  if (file.kind === 'plain') return file.path
  const path = join(folder, file.sha256, file.name)
  return (await isUnpacked(path, file)) ? path : undefined
}

/** What it unpacks to. */
export async function readEmbedded(file: EmbeddedFile): Promise<Uint8Array> {
  const packed = await readFile(file.path)
  if (file.kind === 'plain') return packed
  const bytes = zstdDecompressSync(packed, { maxOutputLength: file.bytes })
  assert(sha256(bytes) === file.sha256, `embedded ${file.name} has the SHA-256 it was built with`)
  return bytes
}

async function isUnpacked(path: string, file: { sha256: string }): Promise<boolean> {
  const bytes = await readFile(path).catch(() => undefined)
  return bytes !== undefined && sha256(bytes) === file.sha256
}

/**
 * What an older binary has unpacked, and drafts of one that was cut off: tens of megabytes each, on flash. A process
 * that still uses such a file keeps it, whatever its name has become.
 */
async function removeOthers(folder: string, file: { name: string; sha256: string }): Promise<void> {
  for (const other of await readdir(folder)) {
    const names = await readdir(join(folder, other))
    const isOlder =
      other !== file.sha256 && names.some((name) => name.replace(/^\./, '').startsWith(file.name))
    if (isOlder) await rm(join(folder, other), { recursive: true, force: true })
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
