/** How long to wait before trying again, and when to stop trying. Pure: the caller keeps the clock. */
export interface BackoffPolicy {
  readonly firstMs: number
  readonly longestMs: number
  /** A run this long counts as healthy: what failed before it is forgotten. */
  readonly healthyMs: number
  /** So many failures in a row, none of them healthy, are a crash loop. */
  readonly failuresMax: number
}

export interface Failures {
  readonly inARow: number
}

type Verdict = { readonly do: 'retry'; readonly afterMs: number } | { readonly do: 'give_up' }

export function afterFailure(
  policy: BackoffPolicy,
  before: Failures,
  ranMs: number,
): { failures: Failures; verdict: Verdict } {
  const inARow = ranMs >= policy.healthyMs ? 1 : before.inARow + 1
  const failures = { inARow }
  if (inARow >= policy.failuresMax) return { failures, verdict: { do: 'give_up' } }
  const afterMs = Math.min(policy.longestMs, policy.firstMs * 2 ** (inARow - 1))
  return { failures, verdict: { do: 'retry', afterMs } }
}
