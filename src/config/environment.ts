import { homedir } from 'node:os'
import { join } from 'node:path'

/** The only reader of the process's environment. */
export interface Environment {
  /** Where Limpet keeps what has to outlive a restart. */
  readonly state: string
  readonly config: string | undefined
  /** Set by `limpet up` for its children: standard input is a line to the parent, and its end means: stop. */
  readonly isSupervised: boolean
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
  }
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
