import { pino } from 'pino'

/** One logger per subsystem; a line of JSON per event, on standard error. */
const SUBSYSTEMS = [
  'app',
  'engines',
  'health',
  'http',
  'inference',
  'link',
  'ota',
  'registry',
  'runtime',
  'store',
] as const

type Subsystem = (typeof SUBSYSTEMS)[number]
type Fields = Readonly<Record<string, unknown>>

/** `error`: someone must act. `warn`: the appliance helped itself. `info`: state changed. `debug`: the rest. */
export interface Logger {
  error(event: string, fields?: Fields): void
  warn(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  debug(event: string, fields?: Fields): void
}

/** While nobody takes the lines, so much of them is kept, and the rest let go. */
const WAITING_BYTES_MAX = 1024 ** 2

// Synchronous: the last line before a crash is the one that is wanted.
const standardError = pino.destination({ dest: 2, sync: true, maxLength: WAITING_BYTES_MAX })
// A file on a full disk, a pipe that nobody reads any more: a log must not be what stops a process.
standardError.on('error', () => undefined)
let kept: { write(line: string): void } | undefined
let isForJournal = false

const root = pino(
  {
    base: { pid: process.pid },
    // What is written is chosen by `written`: its kinds can be switched one by one, pino's levels cannot.
    level: 'debug',
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  },
  {
    write: (line: string) => {
      standardError.write(isForJournal ? `${journalPriority(line)}${line}` : line)
      kept?.write(line)
    },
  },
)

const KINDS = ['error', 'warn', 'info', 'debug'] as const

export type LogKind = (typeof KINDS)[number]
export type LogLevel = 'silent' | LogKind

const children = new Map(SUBSYSTEMS.map((name) => [name, root.child({ subsystem: name })]))
let written: ReadonlySet<LogKind> = kindsUpTo('info')

/** Event names read `subsystem.what_happened`; fields carry their unit in the name. */
export function logger(subsystem: Subsystem): Logger {
  const write = (kind: LogKind) => (event: string, fields?: Fields) => {
    if (written.has(kind)) children.get(subsystem)?.[kind](fields ?? {}, event)
  }
  return { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') }
}

/** From here on each line says how serious it is as systemd's journal reads it (sd-daemon(3)), which takes it off again. */
export function logForJournal(): void {
  isForJournal = true
}

/** Those of syslog(3). */
const PRIORITIES: Readonly<Record<string, string>> = { error: '<3>', warn: '<4>', info: '<6>', debug: '<7>' }

/** The level is the first field of each line. */
function journalPriority(line: string): string {
  return PRIORITIES[line.slice('{"level":"'.length, line.indexOf('"', '{"level":"'.length))] ?? ''
}

/** Every line that is written goes there as well. */
export function keepLog(ring: { write(line: string): void }): void {
  kept = ring
}

export function setLogLevel(level: LogLevel): void {
  written = kindsUpTo(level)
}

/** Exactly these kinds, whatever lies between them. */
export function setLogKinds(kinds: ReadonlySet<LogKind>): void {
  written = new Set(kinds)
}

export function logKinds(): ReadonlySet<LogKind> {
  return written
}

/** Up to "silent" there is none: it is not among the kinds. */
function kindsUpTo(level: LogLevel): ReadonlySet<LogKind> {
  return new Set(KINDS.filter((_, index) => index <= KINDS.indexOf(level as LogKind)))
}
