import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'

const READ_BYTES = 1024 * 1024

/** SHA-256 of everything in the file, read from its beginning, whoever writes to it meanwhile. */
export async function hashHandle(file: FileHandle, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(READ_BYTES)
  for (let at = 0; ; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

export async function hashFile(path: string, signal?: AbortSignal): Promise<string> {
  const file = await open(path, 'r')
  try {
    return await hashHandle(file, signal)
  } finally {
    await file.close()
  }
}

/** The piece of a file, undefined where the file is shorter. */
export async function readPiece(
  file: FileHandle,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
    if (bytesRead === 0) return undefined
    done += bytesRead
  }
  return bytes
}
