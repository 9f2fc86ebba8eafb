import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { messageOf } from '../../kit/errors.ts'
import type { LinkerWorld } from './closure.ts'
import { type ElfFacts, type Machine, readElf } from './elf.ts'
import { ElfRefusal } from './elf-view.ts'
import { readLinkerCache } from './linker-cache.ts'

const CACHE = '/etc/ld.so.cache'

/** As glibc and the distributions that change it have it: multiarch folders where there are some. */
const DEFAULTS: Readonly<Record<Machine, { triple: string; platform: string }>> = {
  x64: { triple: 'x86_64-linux-gnu', platform: 'x86_64' },
  arm64: { triple: 'aarch64-linux-gnu', platform: 'aarch64' },
}

/** The dynamic linker's view of this machine. `libraryPath` is what LD_LIBRARY_PATH says. */
export function machineLinker({ libraryPath }: { libraryPath: string | undefined }): LinkerWorld {
  const machine = process.arch === 'arm64' ? 'arm64' : 'x64'
  const { triple, platform } = DEFAULTS[machine]
  const known = new Map<string, ElfFacts | string | undefined>()
  return {
    read: (path) => {
      if (!known.has(path)) known.set(path, readLibrary(path))
      return known.get(path)
    },
    libraryPath: (libraryPath ?? '').split(/[:;]/).filter(Boolean),
    cache: readCache(machine),
    defaultFolders: [`/lib/${triple}`, `/usr/lib/${triple}`, '/lib64', '/usr/lib64', '/lib', '/usr/lib'],
    lib: `lib/${triple}`,
    platform,
  }
}

function readCache(machine: Machine): ReturnType<typeof readLinkerCache> {
  try {
    return readLinkerCache(readFileSync(CACHE), machine)
  } catch {
    return new Map()
  }
}

/** Of a pipe or a device nothing is read, and nobody waits for it to open. */
function readLibrary(path: string): ElfFacts | string | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? undefined : `cannot be read: ${messageOf(error)}`
  }
  try {
    if (!fstatSync(file).isFile()) return 'is no file'
    return readElf((offset, bytes) => {
      const piece = new Uint8Array(bytes)
      return piece.subarray(0, readSync(file, piece, 0, bytes, offset))
    })
  } catch (error) {
    if (error instanceof ElfRefusal) return error.message
    return `cannot be read: ${messageOf(error)}`
  } finally {
    closeSync(file)
  }
}
