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
    crashAt: readCount('LIMPET_CRASH_AT', variables['LIMPET_CRASH_AT']),
  }
}

function readCount(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new EdgeError('config_invalid', `Cannot use ${name}="${text}": expected a whole number from 1 on`)
}

/** The variables that a child process gets: ours, and what is added. */
export function childEnvironment(
  added: Readonly<Record<string, string>>,
): Record<string, string | undefined> {
  // biome-ignore lint/style/noProcessEnv: passed on as it is.
  return { ...process.env, ...added }
}

/** The folder of the Filesystem Hierarchy Standard for root, of the XDG base directories for anybody else. */
function defaultState(xdgStateHome: string | undefined): string {
  if (process.getuid?.() === 0) return '/var/lib/limpet'
  return join(xdgStateHome ?? join(homedir(), '.local/state'), 'limpet')
}
