import { stat } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { Journal } from '../../ota/journal.ts'
import { RESTART_SERVE } from '../up-orders.ts'
import type { ServeClient } from './serve-client.ts'

const LOOK_MS = 100
/** From here on an end of the process would be held against the version that is on trial. */
const ON_TRIAL: ReadonlySet<string> = new Set(['activate', 'observe', 'revert'])

export interface RestartParts {
  readonly socket: string
  readonly serve: ServeClient
  readonly journal: Journal
  readonly clock: Clock
  /** To the supervisor; undefined where there is none. */
  readonly send: ((message: object) => void) | undefined
}

/** Has the supervisor stop the data plane, which finishes what it has, and start it again; done when the new one is ready. */
export async function restartServe(parts: RestartParts, signal: AbortSignal): Promise<object> {
  const { clock, journal, send } = parts
  const trial = journal.working().find(({ state }) => ON_TRIAL.has(state))
  if (trial !== undefined) {
    throw new EdgeError(
      'conflict',
      `Cannot restart: "${trial.model}" ${trial.version} is on trial (${trial.state}), and the end would be held against it`,
    )
  }
  if (send === undefined) {
    throw new EdgeError('unsupported', 'Cannot restart: the agent was not started by "limpet up"')
  }
  const began = clock.elapsed()
  const before = await startOf(parts.socket)
  send({ order: RESTART_SERVE })
  for (;;) {
    signal.throwIfAborted()
    await clock.sleep(LOOK_MS, signal)
    const now = await startOf(parts.socket)
    if (now !== undefined && now !== before && (await parts.serve.isReady(signal))) {
      return { took_ms: Math.round(clock.elapsed() - began) }
    }
  }
}

/** Another one for each start of the process: it makes its socket anew. */
async function startOf(socket: string): Promise<string | undefined> {
  const found = await stat(socket).catch(() => undefined)
  return found === undefined ? undefined : `${found.ino}-${found.ctimeMs}`
}
