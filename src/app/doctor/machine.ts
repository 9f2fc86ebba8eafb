import { readFile } from 'node:fs/promises'
import { arch, availableParallelism, cpus, freemem, loadavg, release, totalmem, uptime } from 'node:os'
import { BUILD } from '../build-info.ts'
import { type Check, checksOf } from './check.ts'

export interface MachineFacts {
  readonly board: string
  readonly architecture: string
  readonly processor: string
  readonly cores: number
  readonly memoryBytes: number
  readonly memoryFreeBytes: number
  readonly system: string
  readonly kernel: string
  readonly load: number
  readonly upSeconds: number
}

export async function lookAtMachine(): Promise<MachineFacts> {
  const [board, release_, meminfo] = await Promise.all(
    ['/proc/device-tree/model', '/etc/os-release', '/proc/meminfo'].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  )
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo ?? '')?.[1]
  return {
    board: (board ?? '').replaceAll('\0', ''),
    architecture: arch(),
    processor: processorModel(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    memoryFreeBytes: available === undefined ? freemem() : Number(available) * 1024,
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(release_ ?? '')?.[1] ?? 'unknown system',
    kernel: release(),
    load: loadavg()[0] ?? 0,
    upSeconds: Math.round(uptime()),
  }
}

/** Bun throws where the kernel's two lists of processors do not agree: an unknown one is no fault. */
function processorModel(): string {
  try {
    return cpus()[0]?.model ?? UNKNOWN
  } catch {
    return UNKNOWN
  }
}

const UNKNOWN = 'unknown processor'
const { ok, warning } = checksOf('machine')
const FREE_SHARE_MIN = 0.03

export function judgeMachine(facts: MachineFacts): Check[] {
  const { board, architecture, processor, cores, memoryBytes, memoryFreeBytes, system, kernel } = facts
  const text = [
    `limpet ${BUILD.version} (${BUILD.commit})`,
    ...(board === '' ? [] : [board]),
    `${architecture}, ${processor}, ${cores} cores`,
    `${gib(memoryBytes)} memory, ${gib(memoryFreeBytes)} free`,
    `${system}, kernel ${kernel}`,
    `load ${facts.load.toFixed(1)}, up ${describeUptime(facts.upSeconds)}`,
  ].join('; ')
  const said = {
    board,
    architecture,
    cores,
    memory_bytes: memoryBytes,
    memory_free_bytes: memoryFreeBytes,
    load: facts.load,
    up_seconds: facts.upSeconds,
  }
  const machine = ok('board', text, { facts: said })
  if (memoryFreeBytes >= FREE_SHARE_MIN * memoryBytes) return [machine]
  const fix = 'set models.memory_bytes_max, unload a model, or end what else takes memory'
  return [
    machine,
    warning('memory', `only ${gib(memoryFreeBytes)} of ${gib(memoryBytes)} memory is free`, { fix }),
  ]
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

function describeUptime(seconds: number): string {
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} hours` : `${Math.round(seconds / 86_400)} days`
}
