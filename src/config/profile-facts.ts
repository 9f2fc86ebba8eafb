import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** What a board says of itself, as far as profiles look at it. */
export interface BoardFacts {
  /** As Node.js calls it: "x64", "arm64". */
  readonly architecture: string
  /** From the device tree; "" where there is none. */
  readonly model: string
  /** From the device tree, the most particular first: "nvidia,p3768-0000+p3767-0005", "nvidia,tegra234". */
  readonly compatible: readonly string[]
  /** NVIDIA's release of Linux for Tegra. */
  readonly l4t: { readonly major: number; readonly revision: string } | undefined
  /** Display controllers on PCI, "10de:26b9". */
  readonly gpus: readonly string[]
  /** Kinds of processors: "0x41:0xd42" on Arm, "AuthenticAMD" on x86. */
  readonly cpus: readonly string[]
  readonly memoryBytes: number
}

/** More than any of these files needs to hold what is looked for. */
const FILE_BYTES_MAX = 128 * 1024
const PCI_DEVICES_MAX = 4096
const WORDS_MAX = 64

/**
 * Reads the facts below `root`, "/" unless somebody tries another board's out. What is not there, or cannot be read,
 * is a fact that is not known.
 */
export function readBoardFacts(root: string, architecture: string): BoardFacts {
  const read = (path: string) => readStart(join(root, path))
  return {
    architecture,
    model: words(read('proc/device-tree/model'))[0] ?? '',
    compatible: words(read('proc/device-tree/compatible')),
    l4t: parseRelease(read('etc/nv_tegra_release')),
    gpus: readGpus(join(root, 'sys/bus/pci/devices')),
    cpus: parseProcessors(read('proc/cpuinfo')),
    memoryBytes: 1024 * Number(/^MemTotal:\s+(\d{1,15}) kB$/m.exec(read('proc/meminfo'))?.[1] ?? 0),
  }
}

/** As much of a file as may be wanted of it; empty where there is none. */
export function readStart(path: string): string {
  try {
    const file = openSync(path, 'r')
    try {
      const bytes = new Uint8Array(FILE_BYTES_MAX)
      return new TextDecoder().decode(bytes.subarray(0, readSync(file, bytes)))
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}

/** Strings of the device tree end with a zero each. */
function words(text: string): string[] {
  return text
    .split('\0')
    .map((word) => word.trim())
    .filter((word) => word !== '')
    .slice(0, WORDS_MAX)
}

/** "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, …" */
function parseRelease(text: string): BoardFacts['l4t'] {
  const match = /^# R(\d{1,4}) \(release\), REVISION: ([\d.]{1,16})/m.exec(text)
  return match === null ? undefined : { major: Number(match[1]), revision: match[2] ?? '' }
}

/** The kernel's document "cpuinfo": on Arm every processor says its implementer and part, on x86 its vendor. */
function parseProcessors(text: string): string[] {
  const kinds = new Set<string>()
  let implementer = ''
  for (const [, key, value = ''] of text.matchAll(/^(CPU implementer|CPU part|vendor_id)\s*: *(\S+)$/gm)) {
    if (key === 'CPU implementer') implementer = value
    else kinds.add(key === 'vendor_id' ? value : `${implementer}:${value}`)
  }
  return [...kinds].slice(0, WORDS_MAX)
}

/** PCI's base class 03 is a display controller, which NVIDIA's accelerators without a display are as well. */
function readGpus(folder: string): string[] {
  const gpus: string[] = []
  for (const device of list(folder).slice(0, PCI_DEVICES_MAX)) {
    const [kind, vendor, id] = ['class', 'vendor', 'device'].map((name) =>
      /^0x([0-9a-f]{4,6})\s*$/.exec(readStart(join(folder, device, name)))?.at(1),
    )
    if (kind?.startsWith('03') && vendor !== undefined && id !== undefined) gpus.push(`${vendor}:${id}`)
  }
  return [...new Set(gpus)].slice(0, WORDS_MAX)
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
