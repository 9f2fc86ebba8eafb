import type { Environment } from '../config/environment.ts'
import { type Clock, systemClock } from '../kit/clock.ts'
import { openServiceManager, type ServiceManager } from './service-manager.ts'

/** Before the first good answer, and after it. */
const FIRST_LOOK_MS = 250
const LOOK_MS = 5_000
/** An answer may take this part of the time that the service manager waits, and so may the pause before it. */
const PARTS = 4
const ANSWER_MS = 15_000
/** An agent that ends is started again well before this: when it has not, nobody starts it any more. */
export const AGENT_AWAY_MS_MAX = 120_000

export interface Seen {
  /** What `serve` says of itself, "silent" where it says nothing. */
  readonly serve: 'ready' | 'live' | 'silent'
  /** For how long there has been no agent: 0 where there is one, or none is wanted. */
  readonly agentAwayMs: number
  readonly isStarted: boolean
}

export type Notice = { readonly tell: 'ready' | 'starting' | 'alive' | 'status'; readonly status: string }

/** What the service manager is to hear. "status" alone keeps nobody alive. */
export function judge({ serve, agentAwayMs, isStarted }: Seen): Notice {
  if (serve === 'silent') return { tell: 'status', status: 'serve does not answer' }
  if (agentAwayMs > AGENT_AWAY_MS_MAX) return { tell: 'status', status: 'the agent is not started again' }
  const status = serve === 'ready' ? 'serving' : 'alive, loading models'
  if (isStarted) return { tell: 'alive', status }
  return { tell: serve === 'ready' ? 'ready' : 'starting', status }
}

export interface WatchdogParts {
  readonly manager: ServiceManager
  readonly clock: Clock
  /** How long the service manager waits for a sign; undefined where it does not mind. */
  readonly watchdogMs: number | undefined
  readonly look: (answerMs: number) => Promise<Omit<Seen, 'isStarted'>>
  readonly stop: AbortSignal
}

/** Tells the service manager how the appliance is, until it stops. */
export async function keepWatch({ manager, clock, watchdogMs, look, stop }: WatchdogParts): Promise<void> {
  const part = (watchdogMs ?? Number.POSITIVE_INFINITY) / PARTS
  let isStarted = false
  while (!stop.aborted) {
    const seen = await look(Math.min(ANSWER_MS, part))
    if (stop.aborted) break
    const { tell, status } = judge({ ...seen, isStarted })
    manager[tell](status)
    isStarted ||= tell === 'ready'
    await clock.sleep(Math.min(isStarted ? LOOK_MS : FIRST_LOOK_MS, part), stop)
  }
  manager.stopping()
}

/** For what is one process and one event loop: that this comes to its turn is the sign. */
export async function watchLoop(environment: Environment, stop: AbortSignal): Promise<void> {
  const manager = openServiceManager(environment)
  if (manager === undefined) return
  const { watchdogMs } = environment
  const look = () => Promise.resolve({ serve: 'ready' as const, agentAwayMs: 0 })
  await keepWatch({ manager, clock: systemClock, watchdogMs, look, stop })
}
