import type { Machine } from './elf.ts'

/** glibc's `cache_file_new` (sysdeps/generic/dl-cache.h): a header of 48 bytes, then entries of 24. */
const MAGIC = 'glibc-ld.so.cache1.1'
const HEADER_BYTES = 48
const ENTRY_BYTES = 24
const ENTRIES_MAX = 100_000
const NAME_BYTES_MAX = 4096
/** FLAG_ELF_LIBC6 with FLAG_X8664_LIB64 or FLAG_AARCH64_LIB64. */
const FLAGS: Readonly<Record<Machine, number>> = { x64: 0x0303, arm64: 0x0a03 }

/** `/etc/ld.so.cache`: where the dynamic linker finds a library by its name, best place first. Anything else is an empty one. */
export function readLinkerCache(bytes: Uint8Array, machine: Machine): ReadonlyMap<string, readonly string[]> {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(MAGIC, 0, 'latin1')
  const found = new Map<string, string[]>()
  if (start < 0) return found
  const cache = bytes.subarray(start)
  try {
    const view = new DataView(cache.buffer, cache.byteOffset, cache.byteLength)
    const count = Math.min(view.getUint32(20, true), ENTRIES_MAX)
    for (let index = 0; index < count; index += 1) {
      const entry = HEADER_BYTES + index * ENTRY_BYTES
      if (view.getInt32(entry, true) !== FLAGS[machine]) continue
      const name = textAt(cache, view.getUint32(entry + 4, true))
      const place = textAt(cache, view.getUint32(entry + 8, true))
      found.set(name, [...(found.get(name) ?? []), place])
    }
  } catch {
    // Cut off: what was read before that is right.
  }
  return found
}

function textAt(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset)
  return Buffer.from(
    bytes.subarray(offset, Math.min(end < 0 ? bytes.length : end, offset + NAME_BYTES_MAX)),
  ).toString()
}
