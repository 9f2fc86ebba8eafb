import type { AssignedModel } from '../trust/assignment.ts'
import type { Assigned } from './update.ts'

const WEEK_SECONDS = 7 * 24 * 3600
const HOUR_SECONDS = 3600
const PRIORITY = 50

/** What the director may leave open. */
const POLICY = {
  observeSeconds: 900,
  requestsMin: 200,
  errorPercentMax: 1,
  p95PercentMax: 130,
  // One end of the serving process, with a version on trial, is one too many.
  crashesMax: 0,
} as const

/** Golden samples, one by one in a quiet process: of the version before. */
const PROBE_PERCENT_MAX = 400

/** What is assigned for one model, complete. */
export function completeAssigned(signed: AssignedModel, rev: number): Assigned {
  const { schedule = {}, policy = {} } = signed
  return {
    model: signed.model,
    version: signed.version,
    release: signed.release,
    manifest: signed.manifest,
    rev,
    priority: signed.priority ?? PRIORITY,
    allowDowngrade: signed.allow_downgrade,
    schedule: {
      notBeforeMs: schedule.not_before === undefined ? 0 : Date.parse(schedule.not_before),
      window: schedule.window,
      windowSeconds: schedule.window_seconds ?? HOUR_SECONDS,
      deferSecondsMax: schedule.defer_seconds_max ?? WEEK_SECONDS,
      needsApproval: policy.approval === 'operator',
    },
    policy: {
      observeSeconds: policy.observe_seconds ?? POLICY.observeSeconds,
      requestsMin: policy.requests_min ?? POLICY.requestsMin,
      errorPercentMax: policy.error_percent_max ?? POLICY.errorPercentMax,
      p95PercentMax: policy.p95_percent_max ?? POLICY.p95PercentMax,
      crashesMax: policy.crashes_max ?? POLICY.crashesMax,
      probePercentMax: PROBE_PERCENT_MAX,
      onFailure: policy.on_failure ?? 'revert',
    },
  }
}
