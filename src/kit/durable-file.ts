import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * After this returns the file is whole on disk; if it does not return, the old file still is.
 * Two writers at once each write a draft of their own, so the file is one of the two, never a mixture.
 */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  const draft = `${path}.${crypto.randomUUID()}.draft`
  try {
    const file = await open(draft, 'w', mode)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  // A rename lives in the directory: without this, a power cut can undo it.
  await syncDirectory(dirname(path))
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
