import { BUILD } from '../build-info.ts'
import { type Check, type CheckStatus, STATUSES, TOPICS } from './check.ts'

/** All that was looked at. */
export interface Report {
  readonly timeMs: number
  readonly tookMs: number
  readonly checks: readonly Check[]
  readonly counts: Readonly<Record<CheckStatus, number>>
  /** Nothing is at fault. */
  readonly healthy: boolean
}

export function makeReport(checks: readonly Check[], times: { timeMs: number; tookMs: number }): Report {
  const count = (wanted: CheckStatus) => checks.filter(({ status }) => status === wanted).length
  const counts = Object.fromEntries(STATUSES.map((status) => [status, count(status)])) as Report['counts']
  const order = (check: Check) => TOPICS.indexOf(check.topic)
  return {
    ...times,
    checks: checks.toSorted((a, b) => order(a) - order(b)),
    counts,
    healthy: counts.fault === 0,
  }
}

/** What `--json` prints. Names are only added to it; `format` says otherwise. */
export function reportJson({ timeMs, tookMs, checks, counts, healthy }: Report): object {
  return {
    format: 2,
    healthy,
    time: new Date(timeMs).toISOString(),
    limpet: { version: BUILD.version, commit: BUILD.commit },
    took_ms: Math.round(tookMs),
    counts,
    checks,
  }
}
