import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ManifestFile } from './manifest.ts'

/** Hashing takes 0.7 ms for so much: nobody waits longer for the event loop. */
const PIECE_BYTES = 1024 ** 2
const OTHERS_MAY_WRITE = 0o022

/** Why a file or folder could have been written by somebody else; undefined where it could not. */
export async function foreignBecause(path: string): Promise<string | undefined> {
  const found = await lstat(path)
  const uid = process.getuid?.()
  if (found.isSymbolicLink()) return `"${path}" is a link`
  if (found.uid !== uid) return `"${path}" belongs to user ${found.uid}, this process is user ${uid}`
  const mode = (found.mode & 0o777).toString(8)
  return (found.mode & OTHERS_MAY_WRITE) === 0 ? undefined : `others may write "${path}" (mode ${mode})`
}

/** What a file holds, in memory of its own, or what is wrong with it: these bytes and no others have been checked. */
export async function readChecked(folder: string, wanted: ManifestFile): Promise<Uint8Array | string> {
  const bytes = new Uint8Array(new ArrayBuffer(wanted.bytes))
  let at = 0
  const problem = await passThrough(join(folder, wanted.name), wanted, (piece) => {
    bytes.set(piece, at)
    at += piece.length
  })
  return problem ?? bytes
}

/** Copies a file and checks what was copied, whatever becomes of the original meanwhile. */
export async function copyChecked(
  folder: string,
  wanted: ManifestFile,
  to: string,
): Promise<string | undefined> {
  const copy = await open(join(to, wanted.name), 'wx', 0o600)
  try {
    return await passThrough(join(folder, wanted.name), wanted, async (piece) => {
      for (let at = 0; at < piece.length; ) at += (await copy.write(piece, at)).bytesWritten
    })
  } finally {
    await copy.close()
  }
}

/** Looks at a file as it would be looked at before it is used. */
export async function checkFile(folder: string, wanted: ManifestFile): Promise<string | undefined> {
  return await passThrough(join(folder, wanted.name), wanted, () => undefined)
}

/** Size and hash of a file as it is now. */
export async function describeFile(folder: string, name: string): Promise<ManifestFile> {
  const file = await open(join(folder, name), 'r')
  try {
    const hash = createHash('sha256')
    const bytes = await readPieces(file, hash, () => undefined)
    return { name, bytes, sha256: hash.digest('hex') }
  } finally {
    await file.close()
  }
}

async function passThrough(
  path: string,
  wanted: ManifestFile,
  onPiece: (piece: Uint8Array) => void | Promise<void>,
): Promise<string | undefined> {
  const foreign = await foreignBecause(path)
  if (foreign !== undefined) return foreign
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size } = await file.stat()
    if (size !== wanted.bytes) return `"${path}" has ${size} bytes, it was written with ${wanted.bytes}`
    const hash = createHash('sha256')
    await readPieces(file, hash, onPiece)
    return hash.digest('hex') === wanted.sha256 ? undefined : `"${path}" is not what was written`
  } finally {
    await file.close()
  }
}

async function readPieces(
  file: FileHandle,
  hash: Hash,
  onPiece: (piece: Uint8Array) => void | Promise<void>,
): Promise<number> {
  const buffer = new Uint8Array(new ArrayBuffer(PIECE_BYTES))
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) return at
    const piece = buffer.subarray(0, bytesRead)
    hash.update(piece)
    await onPiece(piece)
    at += bytesRead
  }
}
