import { wilsonLowerBound } from '../kit/wilson.ts'
import type { Measured, Replayed } from './ports.ts'
import type { Policy } from './update.ts'

/** Judges a version on trial by what it has shown so far. Pure. */

export interface Shown {
  /** Of the version before, all that it served; undefined where there was none. */
  readonly before: Measured | undefined
  readonly now: Tally
  readonly elapsedSeconds: number
  /** Since the version last answered; 0 when it did just now. */
  readonly silentSeconds: number
}

/** What the version on trial has done, over all starts of the process that serves. */
export interface Tally {
  readonly requests: number
  readonly errors: number
  readonly notFinite: number
  readonly crashes: number
  readonly latency: Measured['latency']
  readonly replayed: Replayed
}

export type Judgement =
  | { readonly is: 'good' }
  | { readonly is: 'open'; readonly percent: number; readonly wants: string }
  | { readonly is: 'bad'; readonly code: string; readonly reason: string }

/** Without traffic the trial ends after so many times the time it needs at least. */
const PATIENCE = 4
/** Longer without an answer is no restart any more. */
const SILENT_SECONDS_MAX = 30
/** Fewer say nothing about how long one takes. */
const LATENCY_REQUESTS_MIN = 20

export function judge(policy: Policy, shown: Shown): Judgement {
  const { now, before, elapsedSeconds } = shown
  const wrong =
    silent(shown) ??
    crashes(policy, now) ??
    replays(now) ??
    notFinite(now, before) ??
    errors(policy, now, before) ??
    slower(policy, now, before)
  if (wrong !== undefined) return { is: 'bad', ...wrong }
  const isLongEnough = elapsedSeconds >= policy.observeSeconds
  const isBusyEnough = now.requests >= policy.requestsMin
  // One that is silent may have ended just now: what it has shown before that is not all that it has shown.
  const isHere = shown.silentSeconds === 0
  if (isHere && isLongEnough && (isBusyEnough || elapsedSeconds >= PATIENCE * policy.observeSeconds))
    return { is: 'good' }
  return {
    is: 'open',
    percent: Math.floor(100 * Math.min(1, elapsedSeconds / policy.observeSeconds)),
    wants: wantsFor(policy, shown, isLongEnough),
  }
}

function wantsFor(policy: Policy, shown: Shown, isLongEnough: boolean): string {
  if (!isLongEnough) return `${Math.floor(shown.elapsedSeconds)} of ${policy.observeSeconds} s`
  if (shown.silentSeconds > 0) return 'an answer'
  return `${shown.now.requests} of ${policy.requestsMin} requests`
}

type Fault = { readonly code: string; readonly reason: string }

function silent({ silentSeconds }: Shown): Fault | undefined {
  if (silentSeconds <= SILENT_SECONDS_MAX) return undefined
  return { code: 'not_serving', reason: `it has not answered for ${Math.round(silentSeconds)} s` }
}

function crashes({ crashesMax }: Policy, now: Tally): Fault | undefined {
  if (now.crashes <= crashesMax) return undefined
  return {
    code: 'crashed',
    reason: `serve ended ${now.crashes} times since the switch, at most ${crashesMax}`,
  }
}

function replays({ replayed }: Tally): Fault | undefined {
  if (replayed.wrong === 0) return undefined
  return {
    code: 'golden_failed',
    reason: `${replayed.wrong} of ${replayed.samples} golden samples answered wrong: ${replayed.reason}`,
  }
}

/** More than twice as often as before, where before it was ever. */
function notFinite(now: Tally, before: Measured | undefined): Fault | undefined {
  const allowed = 2 * rate(before?.notFinite, before?.requests) * now.requests
  if (now.notFinite <= allowed) return undefined
  return {
    code: 'not_finite',
    reason: `${now.notFinite} of ${now.requests} answers hold NaN or infinity, ${before?.notFinite ?? 0} of ${before?.requests ?? 0} before`,
  }
}

/** Only when chance does not explain it: one failure of two is no rate. */
function errors({ errorPercentMax }: Policy, now: Tally, before: Measured | undefined): Fault | undefined {
  const allowed = errorPercentMax / 100 + rate(before?.errors, before?.requests)
  if (wilsonLowerBound(now.errors, now.requests) <= allowed) return undefined
  return {
    code: 'errors',
    reason: `${now.errors} of ${now.requests} requests failed, at most ${(100 * allowed).toFixed(1)} %`,
  }
}

/** A histogram only says between which bounds the p95 is: it is slower when no value within them would do. */
function slower({ p95PercentMax }: Policy, now: Tally, before: Measured | undefined): Fault | undefined {
  if (before === undefined) return undefined
  const [then, since] = [percentile95(before.latency), percentile95(now.latency)]
  if (then === undefined || since === undefined) return undefined
  if (since.aboveMs <= (then.upToMs * p95PercentMax) / 100) return undefined
  return {
    code: 'slower',
    reason: `p95 is above ${since.aboveMs} ms, it was at most ${then.upToMs} ms before and may be ${p95PercentMax} % of that`,
  }
}

function percentile95(latency: Measured['latency']): { aboveMs: number; upToMs: number } | undefined {
  const total = latency.at(-1)?.count ?? 0
  if (total < LATENCY_REQUESTS_MIN) return undefined
  const at = latency.findIndex(({ count }) => count >= 0.95 * total)
  return { aboveMs: latency[at - 1]?.upToMs ?? 0, upToMs: latency[at]?.upToMs ?? Number.POSITIVE_INFINITY }
}

function rate(part: number | undefined, whole: number | undefined): number {
  return whole === undefined || whole === 0 ? 0 : (part ?? 0) / whole
}
