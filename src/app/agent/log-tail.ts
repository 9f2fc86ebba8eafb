import { readFile } from 'node:fs/promises'
import { logRingPaths } from '../../kit/log-ring.ts'

export const LOG_PROCESSES = ['up', 'serve', 'agent'] as const
export type LogProcess = (typeof LOG_PROCESSES)[number]

export interface LogTail {
  /** Oldest first, each with the process that wrote it. */
  readonly lines: readonly object[]
  /** There were more of them. */
  readonly truncated: boolean
}

/** What this registry gives out, wherever it stands. */
const SECRET = /\b[a-z]{2}_[0-9a-f]{16}_[0-9a-f]{64}\b/g

/** The last lines of the device's processes, put in order, as many as fit. */
export async function readLogTail(
  folder: string,
  wanted: {
    readonly processes: readonly LogProcess[]
    readonly lines: number
    readonly bytesMax: number
    /** What must not be among them. */
    readonly secrets: readonly string[]
  },
): Promise<LogTail> {
  const all = (await Promise.all(wanted.processes.map((name) => readLines(folder, name)))).flat()
  all.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  const lines: object[] = []
  let bytes = 0
  for (const { text } of all.reverse()) {
    const line = wanted.secrets
      .reduce((hidden, secret) => hidden.replaceAll(secret, '…'), text)
      .replaceAll(SECRET, '…')
    bytes += Buffer.byteLength(line) + 1
    if (lines.length >= wanted.lines || bytes > wanted.bytesMax) break
    lines.push(JSON.parse(line) as object)
  }
  return { lines: lines.reverse(), truncated: lines.length < all.length }
}

interface Line {
  readonly time: string
  readonly text: string
}

async function readLines(folder: string, process: LogProcess): Promise<Line[]> {
  const texts = await Promise.all(
    logRingPaths(folder, process).map((path) => readFile(path, 'utf8').catch(() => '')),
  )
  return texts
    .flatMap((text) => text.split('\n'))
    .flatMap((line) => {
      const fields = parse(line)
      // The first line of a file that was cut off, or what is being written just now.
      if (fields === undefined) return []
      return [{ time: String(fields['time']), text: JSON.stringify({ process, ...fields }) }]
    })
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const fields: unknown = JSON.parse(line)
    return typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
