import { pino } from 'pino'

/** One logger per subsystem; a line of JSON per event, on standard error. */
const SUBSYSTEMS = ['app', 'http', 'inference', 'runtime', 'store'] as const

type Subsystem = (typeof SUBSYSTEMS)[number]
type Fields = Readonly<Record<string, unknown>>

/** `error`: someone must act. `warn`: the appliance helped itself. `info`: state changed. `debug`: the rest. */
export interface Logger {
  error(event: string, fields?: Fields): void
  warn(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  debug(event: string, fields?: Fields): void
}

const root = pino(
  {
    base: { pid: process.pid },
    level: 'info',
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  },
  // Synchronous: the last line before a crash is the one that is wanted.
  pino.destination({ dest: 2, sync: true }),
)

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

const children = new Map(SUBSYSTEMS.map((name) => [name, root.child({ subsystem: name })]))

/** Event names read `subsystem.what_happened`; fields carry their unit in the name. */
export function logger(subsystem: Subsystem): Logger {
  const write = (level: Exclude<LogLevel, 'silent'>) => (event: string, fields?: Fields) =>
    children.get(subsystem)?.[level](fields ?? {}, event)
  return { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') }
}

export function setLogLevel(level: LogLevel): void {
  for (const child of children.values()) child.level = level
}
