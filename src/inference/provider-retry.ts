import type { Clock } from '../kit/clock.ts'
import { logger } from '../kit/log.ts'
import type { Lane } from './lane.ts'
import type { Lanes } from './lanes.ts'

const MINUTE_MS = 60_000
const WAIT_MS_MAX = 60 * MINUTE_MS
const LOOK_MS = 5000

/** How often a provider of one version has been tried again, and when it is next. */
interface Retry {
  readonly tries: number
  /** Undefined while it runs. */
  readonly nextMs: number | undefined
  readonly sinceMs: number
}

export type Retries = ReadonlyMap<string, Retry>

/**
 * Pure: which versions are to be tried again now on what failed while it ran. After a minute, two, four, up to an hour: a
 * driver that was reset is back soon, a card that has burnt never is, and nobody can tell one from the other. One that has
 * run again for as long as it had to wait begins anew.
 */
export function chooseRetries(
  retries: Retries,
  lanes: readonly { readonly id: string; readonly isLame: boolean }[],
  nowMs: number,
): { retries: Retries; due: readonly string[] } {
  const next = new Map<string, Retry>()
  const due: string[] = []
  for (const { id, isLame } of lanes) {
    const before = retries.get(id)
    if (!isLame) {
      if (before !== undefined && nowMs - before.sinceMs < waitMs(before.tries))
        next.set(id, { ...before, nextMs: undefined })
      continue
    }
    const { tries, nextMs = nowMs + waitMs(tries) } = before ?? { tries: 0 }
    if (nowMs < nextMs) next.set(id, { tries, nextMs, sinceMs: before?.sinceMs ?? nowMs })
    else {
      due.push(id)
      next.set(id, { tries: tries + 1, nextMs: nowMs + waitMs(tries + 1), sinceMs: nowMs })
    }
  }
  return { retries: next, due }
}

function waitMs(tries: number): number {
  return Math.min(WAIT_MS_MAX, MINUTE_MS * 2 ** Math.min(tries, 10))
}

export function isDegraded({ session }: Lane): boolean {
  return session.refusals.some(({ hasFailed }) => hasFailed)
}

/** Tries again and again, until told to stop; what serves goes on serving. */
export async function retryProviders(of: { lanes: Lanes; clock: Clock; stop: AbortSignal }): Promise<void> {
  const { lanes, clock, stop } = of
  const log = logger('inference')
  let retries: Retries = new Map()
  while (!stop.aborted) {
    await clock.sleep(LOOK_MS, stop)
    if (stop.aborted) return
    const ready = lanes.ready()
    const looked = ready.map((lane) => ({ id: lane.id, isLame: isDegraded(lane) }))
    const chosen = chooseRetries(retries, looked, clock.elapsed())
    retries = chosen.retries
    for (const lane of ready.filter(({ id }) => chosen.due.includes(id))) {
      const { model, version } = lane
      const why = await lanes.retryProviders(model, version)
      if (why !== undefined) log.warn('inference.providers_still_failing', { model, version, reason: why })
    }
  }
}
