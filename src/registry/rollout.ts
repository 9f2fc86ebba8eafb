import { wilsonLowerBound } from '../kit/wilson.ts'
import { FAILURES, type MemberState } from './rollout-member.ts'
import type { RolloutPlan } from './rollout-plan.ts'

/**
 *   draft ─► approved ─► running(0) ─► soak(0) ─► running(1) ─► soak(1) ─► … ─► done
 *                           └──────────────┴─► paused, and back
 *   from any of them: aborting ─► aborted, or reverting ─► reverted; from done and aborted too: reverting
 *
 * Out of how many devices stand how, and the time: what comes next, and how many devices may begin now. Pure.
 */
export const ROLLOUT_STATES = [
  'draft',
  'approved',
  'running',
  'soak',
  'paused',
  'done',
  'aborting',
  'aborted',
  'reverting',
  'reverted',
] as const
export type RolloutState = (typeof ROLLOUT_STATES)[number]

export const ACTIONS = ['approve', 'start', 'pause', 'resume', 'abort', 'revert'] as const
export type Action = (typeof ACTIONS)[number]

/** What a person may ask for; `back` is where the pause began. Complete by type. */
export const ASKED: Record<RolloutState, Partial<Record<Action, RolloutState | 'back'>>> = {
  draft: { approve: 'approved', start: 'running', abort: 'aborted' },
  approved: { start: 'running', abort: 'aborted' },
  running: { pause: 'paused', abort: 'aborting', revert: 'reverting' },
  soak: { pause: 'paused', abort: 'aborting', revert: 'reverting' },
  paused: { resume: 'back', abort: 'aborting', revert: 'reverting' },
  done: { revert: 'reverting' },
  aborting: { revert: 'reverting' },
  aborted: { revert: 'reverting' },
  reverting: {},
  reverted: {},
}

/** While a rollout is in one of these, no other may touch its model on its devices. */
export const LIVE: readonly RolloutState[] = ['running', 'soak', 'paused', 'aborting', 'reverting']

/** A tick is a transaction: so many are signed in one at most. */
const STARTS_A_TICK_MAX = 200

export type Counts = Readonly<Record<MemberState, number>>

/** Where it stands. */
export interface Standing {
  readonly state: RolloutState
  readonly wave: number
  readonly since: number
  readonly acceptedWave: number
}

/** How its devices stand. */
export interface Tally {
  readonly waves: readonly Counts[]
  /** Given their version, or their way back, within the last minute. */
  readonly startsLastMinute: number
  /** Given it, and not known to have all of it. */
  readonly downloads: number
  /** That still have to go back. */
  readonly toRevert: number
  /** Why nothing may begin now; undefined: it may. */
  readonly closedBecause: string | undefined
}

export interface Decision {
  readonly next?: { readonly state: RolloutState; readonly wave: number; readonly reason: string }
  /** So many may be given it now, of waves up to this one. */
  readonly starts: number
  /** So many of later waves, if they are there, take the place of those of this wave that are not. */
  readonly refill?: number
  /** What has to happen before it goes on. */
  readonly waitsFor: string
}

export function decide(standing: Standing, plan: RolloutPlan, tally: Tally, now: number): Decision {
  switch (standing.state) {
    case 'running':
    case 'soak':
      return abort(standing, plan, tally) ?? goOn(standing, plan, tally, now)
    case 'paused':
      return abort(standing, plan, tally) ?? rest('a person to resume it')
    case 'aborting':
      return decideAborting(standing, tally)
    case 'reverting':
      return decideReverting(standing, plan, tally)
    case 'done':
      return { starts: budget(plan, tally), waitsFor: '' }
    case 'draft':
    case 'approved':
    case 'aborted':
    case 'reverted':
      return rest('')
  }
}

/** Where a start begins, and where a pause goes on. */
export function acknowledged(counts: Counts): number {
  return counts.taken + counts.trial + counts.committed + failures(counts)
}

export function failures(counts: Counts): number {
  return FAILURES.reduce((sum, state) => sum + counts[state], 0)
}

function rest(waitsFor: string): Decision {
  return { starts: 0, waitsFor }
}

/** Of this wave, or of all so far: too many for chance to explain. */
function abort({ wave }: Standing, plan: RolloutPlan, tally: Tally): Decision | undefined {
  const begun = tally.waves.slice(0, wave + 1)
  const { failure_percent_max: percentMax, failures_min: failuresMin, on_abort } = plan.abort
  const groups: [string, readonly Counts[]][] = [
    [`of wave ${wave}`, begun.slice(-1)],
    ['of all so far', begun],
  ]
  for (const [whose, counts] of groups) {
    const [failed, all] = [total(counts, failures), total(counts, acknowledged)]
    const least = 100 * wilsonLowerBound(failed, all)
    if (failed < failuresMin || least <= percentMax) continue
    const reason = `${failed} of ${all} devices ${whose} failed: that is a rate of at least ${least.toFixed(1)} %, allowed are ${percentMax} %`
    return { next: { state: on_abort === 'revert' ? 'reverting' : 'aborting', wave, reason }, ...rest('') }
  }
  return undefined
}

function total(counts: readonly Counts[], of: (one: Counts) => number): number {
  return counts.reduce((sum, one) => sum + of(one), 0)
}

function goOn(standing: Standing, plan: RolloutPlan, tally: Tally, now: number): Decision {
  const { state, wave, since } = standing
  const counts = tally.waves[wave]
  const terms = plan.waves[wave]
  if (counts === undefined || terms === undefined) return rest('')
  const starts = budget(plan, tally)
  const judged = judgeWave(standing, { counts, successPercentMin: terms.success_percent_min, tally })
  if (judged.is === 'short')
    return { next: { state: 'paused', wave, reason: judged.reason }, starts: 0, waitsFor: '' }
  if (judged.is === 'away')
    return { starts, refill: judged.places, waitsFor: `a device of wave ${wave} to be there` }
  if (judged.is === 'open')
    return {
      starts,
      waitsFor: starts === 0 && tally.closedBecause !== undefined ? tally.closedBecause : judged.waitsFor,
    }
  if (state === 'running')
    return { next: { state: 'soak', wave, reason: judged.reason }, starts: 0, waitsFor: '' }
  const leftMs = since + terms.soak_seconds * 1000 - now
  // A clock that was set back must not hold it up for longer than the soak itself takes.
  if (leftMs > 0 && leftMs <= terms.soak_seconds * 1000)
    return { starts, waitsFor: `${Math.ceil(leftMs / 1000)} s of soak` }
  const reason = `nothing went wrong for ${terms.soak_seconds} s: ${judged.reason}`
  const isLast = wave + 1 >= plan.waves.length
  return {
    next: isLast ? { state: 'done', wave, reason } : { state: 'running', wave: wave + 1, reason },
    starts: 0,
    waitsFor: '',
  }
}

type Judged =
  | { readonly is: 'passed'; readonly reason: string }
  | { readonly is: 'short'; readonly reason: string }
  | { readonly is: 'open'; readonly waitsFor: string }
  | { readonly is: 'away'; readonly places: number }

function judgeWave(
  { wave, acceptedWave }: Standing,
  { counts, successPercentMin, tally }: { counts: Counts; successPercentMin: number; tally: Tally },
): Judged {
  const unbegun = counts.waiting + counts.assigned
  if (unbegun > 0) return { is: 'open', waitsFor: `${unbegun} devices of wave ${wave} to take it` }
  const taken = acknowledged(counts)
  if (taken === 0) return judgeEmpty({ wave, counts, tally })
  const percent = (100 * counts.committed) / taken
  const words = `${counts.committed} of ${taken} devices of wave ${wave} serve it`
  if (percent >= successPercentMin) return { is: 'passed', reason: words }
  const underway = counts.taken + counts.trial
  if (underway > 0) return { is: 'open', waitsFor: `${underway} devices of wave ${wave} to serve it` }
  if (wave <= acceptedWave) return { is: 'passed', reason: `${words}, which a person has accepted` }
  return {
    is: 'short',
    reason: `${words}, ${percent.toFixed(1)} %, expected at least ${successPercentMin} %`,
  }
}

/** Nobody of this wave has shown anything. Where nobody has ever, it takes somebody to show it. */
function judgeEmpty({ wave, counts, tally }: { wave: number; counts: Counts; tally: Tally }): Judged {
  const hasShown = tally.waves.some(({ committed }) => committed > 0)
  const isLast = wave + 1 >= tally.waves.length
  if (counts.deferred === 0) return { is: 'passed', reason: `wave ${wave} is empty` }
  if (isLast && hasShown)
    return { is: 'passed', reason: `all ${counts.deferred} devices of wave ${wave} are away` }
  return { is: 'away', places: counts.deferred }
}

function budget({ limits }: RolloutPlan, { startsLastMinute, downloads, closedBecause }: Tally): number {
  if (closedBecause !== undefined) return 0
  const room = Math.min(limits.starts_per_minute_max - startsLastMinute, limits.downloads_max - downloads)
  return Math.max(0, Math.min(room, STARTS_A_TICK_MAX))
}

/** Those that are on trial end it, one way or the other; nobody else still gets on. */
function decideAborting({ wave }: Standing, tally: Tally): Decision {
  const onTrial = total(tally.waves, ({ trial }) => trial)
  if (onTrial > 0) return rest(`${onTrial} devices to end their trial`)
  const served = total(tally.waves, ({ committed }) => committed)
  return { next: { state: 'aborted', wave, reason: `${served} devices serve it and keep it` }, ...rest('') }
}

/** No wave waits for another, and no window: what is wrong is taken back as fast as the limits allow. */
function decideReverting({ wave }: Standing, plan: RolloutPlan, tally: Tally): Decision {
  const onWay = total(tally.waves, ({ reverting }) => reverting)
  if (tally.toRevert > 0 || onWay > 0)
    return {
      starts: budget(plan, { ...tally, downloads: 0, closedBecause: undefined }),
      waitsFor: `${tally.toRevert + onWay} devices to go back`,
    }
  const [back, stranded] = [
    total(tally.waves, ({ reverted }) => reverted),
    total(tally.waves, (one) => one.stranded),
  ]
  const reason = `${back} devices are back${stranded === 0 ? '' : `, ${stranded} could not go back`}`
  return { next: { state: 'reverted', wave, reason }, ...rest('') }
}
