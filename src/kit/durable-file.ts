import { type FileHandle, mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { crashPoint } from './crash-point.ts'

/** What is not in place yet, or not any more: of no use after a restart. */
const DRAFT = '.draft'

/**
 * After this returns the file is whole on disk; if it does not return, the old file still is.
 * Two writers at once each write a draft of their own, so the file is one of the two, never a mixture.
 */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  const draft = draftOf(path)
  try {
    const file = await open(draft, 'w', mode)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await place(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** Makes an empty file of that size, which is there after a power cut though nothing has been written to it yet. */
export async function createDurably(path: string, bytes: number): Promise<FileHandle> {
  const file = await open(path, 'w+')
  try {
    await file.truncate(bytes)
    await file.sync()
    await syncFolder(dirname(path))
  } catch (error) {
    await file.close()
    throw error
  }
  crashPoint('file.created')
  return file
}

/**
 * Writes what comes piece by piece, whole or not at all. Where it goes is asked once all of it is on disk in a draft, and may be refused
 * by throwing; two that choose one path at once both succeed, and the last one stays.
 */
export async function writePiecesDurably(
  folder: string,
  pieces: AsyncIterable<Uint8Array>,
  choosePath: (draft: string) => Promise<string>,
): Promise<void> {
  const draft = draftOf(join(folder, 'pieces'))
  try {
    const file = await open(draft, 'w')
    try {
      for await (const piece of pieces) await writeAll(file, piece)
      await file.sync()
    } finally {
      await file.close()
    }
    await place(draft, await choosePath(draft))
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** A write may take less than it was given. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) at += (await file.write(bytes, at)).bytesWritten
}

/**
 * Makes `link` lead to `target`, wherever it led before. Who reads it finds the old target or the new one, never
 * neither, and after this returns no power cut brings the old one back.
 */
export async function pointDurably(link: string, target: string): Promise<void> {
  const draft = draftOf(link)
  try {
    await symlink(target, draft)
    await place(draft, link)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/**
 * Puts a finished folder in its place, with everything in it on disk first: where the folder is, it is whole. Both paths
 * are on one file system, and nothing but an empty folder may be in the place.
 */
export async function moveFolderDurably(from: string, to: string): Promise<void> {
  await syncTree(from)
  await place(from, to)
  await syncFolder(dirname(from))
}

/** In the place of what was there, if anything was. */
export async function moveFileDurably(from: string, to: string): Promise<void> {
  await place(from, to)
}

/** The folder is gone at once, as a whole: nobody finds half of it in its place, now or after a power cut. */
export async function removeFolderDurably(path: string): Promise<void> {
  const draft = draftOf(path)
  await place(path, draft)
  await rm(draft, { recursive: true, force: true })
}

/** Makes the folder and those above it, and sees to it that they are still there after a power cut. */
export async function makeFolderDurably(path: string, mode = 0o755): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

/** Lets go of what was cut off before it was in place, or half removed. For the start, when nobody else writes. */
export async function sweepDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.endsWith(DRAFT)) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/** What was made, removed or renamed in it stays so after a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await syncPath(path)
}

/** In the same folder, because a rename does not leave its file system; hidden, because the folder may be read meanwhile. */
function draftOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}${DRAFT}`)
}

async function place(draft: string, path: string): Promise<void> {
  crashPoint('file.written')
  await rename(draft, path)
  // A rename lives in the folder: without this, a power cut can undo it.
  await syncFolder(dirname(path))
  crashPoint('file.placed')
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) await syncPath(path)
  }
  await syncFolder(folder)
}

async function syncPath(path: string): Promise<void> {
  const opened = await open(path, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}
