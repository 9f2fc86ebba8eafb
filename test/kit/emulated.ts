/**
 * The binary for 64-bit Arm as a program like any other, on a machine of another make: QEMU translates it, and what it
 * reads of the system (its C library, `/proc/cpuinfo`, a device tree, folders of libraries) lies below a prefix.
 *
 * A process that starts its own program again (`up`, and the agent its probe) finds that program by `/proc/self/exe`,
 * and the kernel cannot run what QEMU says is there. So the binary is given to QEMU as an open file without a name, and
 * the name that Linux tells of such a file, "limpet (deleted)", is that of the script that starts QEMU.
 */
import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY_ARM64 } from './binary.ts'

const QEMU = Bun.which('qemu-aarch64-static')
/** Where Debian's cross toolchain puts the C library of the other architecture. */
const LIBRARIES = '/usr/aarch64-linux-gnu'
/** What is wanting for it; nothing where it can be done. */
export const NOT_EMULATED = [
  ...(QEMU === null ? ['qemu-aarch64-static'] : []),
  ...[LIBRARIES, BINARY_ARM64].filter((path) => !existsSync(path)),
]
if (NOT_EMULATED.length > 0)
  console.warn(`The Arm binary is not tested: there is no ${NOT_EMULATED.join(', no ')}`)

/** As on a machine with Arm's own cores. ONNX Runtime looks there for what it may use, and would be shown the host's. */
const FEATURES =
  'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp'

export function armProcessors(count: number, part: string): string {
  const one = [
    'BogoMIPS\t: 50.00',
    `Features\t: ${FEATURES}`,
    'CPU implementer\t: 0x41',
    'CPU architecture: 8',
    'CPU variant\t: 0x3',
    `CPU part\t: ${part}`,
    'CPU revision\t: 1',
  ]
  const all = Array.from({ length: count }, (_, index) => [`processor\t: ${index}`, ...one, ''].join('\n'))
  return `${all.join('\n')}\n`
}

export interface Emulated {
  /** Started like the binary itself. */
  readonly program: string
  /** Its root, as far as there is one: what lies below is what the binary finds at that path. */
  readonly prefix: string
  close(): Promise<void>
}

/** `files` are those of the prefix, path to text; "proc/cpuinfo" has to be among them. */
export async function emulate(folder: string, files: Readonly<Record<string, string>>): Promise<Emulated> {
  const prefix = join(folder, 'prefix')
  await cp(LIBRARIES, prefix, { recursive: true, verbatimSymlinks: true })
  for (const [path, text] of Object.entries(files)) await Bun.write(join(prefix, path), text)
  const named = join(folder, 'limpet')
  await copyFile(BINARY_ARM64, named)
  const binary = await open(named)
  await rm(named)
  const program = `${named} (deleted)`
  await Bun.write(
    program,
    `#!/bin/sh\nexec "${QEMU}" -L "${prefix}" /proc/${process.pid}/fd/${binary.fd} "$@"\n`,
  )
  await chmod(program, 0o755)
  return { program, prefix, close: () => binary.close() }
}
