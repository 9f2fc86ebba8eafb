import { dlopen } from 'bun:ffi'
import { writeSync } from 'node:fs'
import { EdgeError } from '../kit/errors.ts'
import { cString } from './memory.ts'

/** Closed for programs that this one starts. */
const MFD_CLOEXEC = 1

/** A file in memory alone, by a path of this process: a library can be loaded from it and the disk stays as it is. */
export function memoryFile(name: string, bytes: Uint8Array): string {
  const libc = dlopen('libc.so.6', { memfd_create: { args: ['ptr', 'u32'], returns: 'i32' } })
  const file = libc.symbols.memfd_create(cString(name).bytes, MFD_CLOEXEC)
  if (file < 0) {
    throw new EdgeError(
      'storage_failed',
      `Cannot make "${name}" (${bytes.length} bytes) in memory: memfd_create failed`,
    )
  }
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
  return `/proc/self/fd/${file}`
}
