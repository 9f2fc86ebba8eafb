import { afterFailure, type Failures } from '../kit/backoff.ts'
import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { type ConsulRules, compareServices, wantedServices } from './consul.ts'
import type { ConsulAgent } from './consul-agent.ts'
import type { Endpoints } from './endpoints.ts'

const LOG = logger('registry')

/** Requests to Consul at once. */
const AT_ONCE = 8
/** In one look; then the rest waits for the next. */
const FAILURES_MAX = 16
const BACKOFF = {
  firstMs: 1_000,
  longestMs: 300_000,
  healthyMs: Number.POSITIVE_INFINITY,
  failuresMax: Number.POSITIVE_INFINITY,
}

export interface ConsulSyncParts {
  readonly agent: ConsulAgent
  readonly endpoints: Endpoints
  readonly rules: ConsulRules
  readonly everyMs: number
  readonly clock: Clock
}

/**
 * Keeps Consul in step with the fleet. What Consul has is asked each time and nothing is remembered here, so that neither
 * side may be restarted at a wrong moment. The end of the registry deregisters nobody: the devices serve on.
 */
export class ConsulSync {
  readonly #parts: ConsulSyncParts

  constructor(parts: ConsulSyncParts) {
    this.#parts = parts
  }

  async run(stop: AbortSignal): Promise<void> {
    const { clock, everyMs } = this.#parts
    let failures: Failures = { inARow: 0 }
    while (!stop.aborted) {
      const failure = await this.#attempt(stop)
      if (stop.aborted) return
      if (failure === undefined) {
        failures = { inARow: 0 }
        await clock.sleep(everyMs, stop)
        continue
      }
      const next = afterFailure(BACKOFF, failures, 0)
      failures = next.failures
      const afterMs = next.verdict.do === 'retry' ? next.verdict.afterMs : BACKOFF.longestMs
      LOG.warn('registry.consul_failed', { reason: failure, in_a_row: failures.inARow, after_ms: afterMs })
      await clock.sleep(afterMs, stop)
    }
  }

  /** What went wrong, in words. */
  async #attempt(stop: AbortSignal): Promise<string | undefined> {
    try {
      await this.#bringInStep(stop)
      return undefined
    } catch (error) {
      if (!(error instanceof EdgeError)) throw error
      return messageOf(error)
    }
  }

  async #bringInStep(stop: AbortSignal): Promise<void> {
    const { agent, endpoints, rules, clock } = this.#parts
    const wanted = wantedServices(endpoints.list(), { rules, nowMs: clock.now() })
    const registered = await agent.services(rules.service, stop)
    const { register, deregister } = compareServices(wanted, { registered, service: rules.service })
    if (register.length + deregister.length === 0) return
    await severally([
      ...register.map((one) => () => agent.register(one, stop)),
      ...deregister.map((id) => () => agent.deregister(id, stop)),
    ])
    LOG.info('registry.consul_changed', { registered: register.length, deregistered: deregister.length })
  }
}

/** A few at once. One that is refused keeps no other from its turn; many that are say that Consul is not well. */
async function severally(work: readonly (() => Promise<void>)[]): Promise<void> {
  const rest = work.values()
  const failures: unknown[] = []
  const oneByOne = async () => {
    for (const each of rest) {
      await each().catch((error: unknown) => failures.push(error))
      if (failures.length >= FAILURES_MAX) return
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, oneByOne))
  if (failures.length > 0) throw failures[0]
}
