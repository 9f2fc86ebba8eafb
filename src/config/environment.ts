import { fstatSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { EdgeError } from '../kit/errors.ts'

/** The only reader of the process's environment. */
export interface Environment {
  /** Where Limpet keeps what has to outlive a restart. */
  readonly state: string
  readonly config: string | undefined
  /** Set by `limpet up` for its children: standard input is a line to the parent, and its end means: stop. */
  readonly isSupervised: boolean
  /** The registry is called at once, also right after the machine has started: for a first look, and for tests. */
  readonly callsAtOnce: boolean
  /** For tests: at which of its durable writes the process kills itself, counted from 1. */
  readonly crashAt: number | undefined
  /** Where a service manager wants to hear how this process is, as sd_notify(3) says; undefined where none does. */
  readonly notifySocket: string | undefined
  /** How long it waits for a sign before it starts this process again. */
  readonly watchdogMs: number | undefined
  /** Where the dynamic linker looks first; for doctor, which says what it finds. */
  readonly libraryPath: string | undefined
  /** Standard error leads to systemd's journal. */
  readonly isToJournal: boolean
}

export const SUPERVISED = 'LIMPET_SUPERVISED'

export function readEnvironment(): Environment {
  // biome-ignore lint/style/noProcessEnv: this is the one place that reads it.
  const variables = process.env
  return {
    state:
      variables['LIMPET_STATE'] ?? variables['STATE_DIRECTORY'] ?? defaultState(variables['XDG_STATE_HOME']),
    config: variables['LIMPET_CONFIG'],
    isSupervised: variables[SUPERVISED] === '1',
    callsAtOnce: variables['LIMPET_CALL'] === 'at_once',
    crashAt: readCount('LIMPET_CRASH_AT', variables['LIMPET_CRASH_AT'], 9),
    notifySocket: variables['NOTIFY_SOCKET'],
    watchdogMs: readWatchdog(variables),
    libraryPath: variables['LD_LIBRARY_PATH'],
    isToJournal: isJournal(variables['JOURNAL_STREAM']),
  }
}

/** Only the process that is meant: a child may have inherited the variables. */
function readWatchdog(variables: Readonly<Record<string, string | undefined>>): number | undefined {
  const pid = variables['WATCHDOG_PID']
  if (pid !== undefined && pid !== String(process.pid)) return undefined
  const microseconds = readCount('WATCHDOG_USEC', variables['WATCHDOG_USEC'], 15)
  return microseconds === undefined ? undefined : microseconds / 1000
}

const STANDARD_ERROR = 2

/** systemd.exec(5): the variable names the file that it has opened; whoever inherits it may write elsewhere. */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false
  try {
    const { dev, ino } = fstatSync(STANDARD_ERROR)
    return stream === `${dev}:${ino}`
  } catch {
    return false
  }
}

function readCount(name: string, text: string | undefined, digitsMax: number): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d*$/.test(text) && text.length <= digitsMax) return Number(text)
  throw new EdgeError('config_invalid', `Cannot use ${name}="${text}": expected a whole number from 1 on`)
}

/** What a service manager has said to this process alone. */
const FOR_THIS_PROCESS = { NOTIFY_SOCKET: undefined, WATCHDOG_USEC: undefined, WATCHDOG_PID: undefined }

/** The variables that a child process gets: ours, and what is added. */
export function childEnvironment(
  added: Readonly<Record<string, string>>,
): Record<string, string | undefined> {
  // biome-ignore lint/style/noProcessEnv: passed on as it is.
  return { ...process.env, ...FOR_THIS_PROCESS, ...added }
}

/** The folder of the Filesystem Hierarchy Standard for root, of the XDG base directories for anybody else. */
function defaultState(xdgStateHome: string | undefined): string {
  if (process.getuid?.() === 0) return '/var/lib/limpet'
  return join(xdgStateHome ?? join(homedir(), '.local/state'), 'limpet')
}
