/**
 * How one device stands in a rollout, by what it has reported. Pure.
 *
 *   waiting ─► assigned ─► taken ─► trial ─► committed        and, each for itself, the ways in which it may not end so:
 *      ▲          │          │                                 failed, rejected, timed_out, rolled_back, vanished, alerted
 *      └─ deferred ◄─────────┘        reverting ─► reverted | stranded        withdrawn, left
 */
export const FAILURES = ['failed', 'rejected', 'timed_out', 'rolled_back', 'vanished', 'alerted'] as const
export const MEMBER_STATES = [
  'waiting',
  'assigned',
  'taken',
  'trial',
  'deferred',
  'committed',
  ...FAILURES,
  'left',
  'withdrawn',
  'reverting',
  'reverted',
  'stranded',
] as const

export type Failure = (typeof FAILURES)[number]
export type MemberState = (typeof MEMBER_STATES)[number]

/** What the rollout wants of the device now. */
export type Gives = 'nothing' | 'version' | 'back'

export interface Member {
  readonly device: string
  readonly state: MemberState
  readonly gives: Gives
  readonly given: number | null
  readonly activated: number | null
  readonly progressed: number | null
  /** The update's state that was seen last. */
  readonly step: string
  readonly rev: number | null
}

/** What is known of the device. */
export interface Fact {
  readonly isKnown: boolean
  /** An assignment of its own says what it runs. */
  readonly isPinned: boolean
  readonly isOnline: boolean
  readonly seen: number
  readonly rev: number
  /** Manifest that runs; null: none, or not told. */
  readonly running: string | null
  readonly update: {
    readonly rev: number
    readonly version: string
    readonly state: string
    readonly code: string
    readonly reason: string
  } | null
  /** What a critical alert of it says; null: there is none. */
  readonly alert: string | null
}

export interface Terms {
  readonly version: string
  readonly manifest: string
  readonly offlineMs: number
  readonly deviceMs: number
  readonly vanishMs: number
  /** How long a device may wait for its switch. */
  readonly deferMs: number
  /** How long a trial may take. */
  readonly trialMs: number
}

export interface MemberChange {
  readonly state: MemberState
  readonly gives?: Gives
  readonly activated?: number
  readonly progressed?: number
  readonly step?: string
  readonly code?: string
  readonly reason?: string
}

const ACTIVATED: ReadonlySet<string> = new Set(['activate', 'observe', 'commit', 'revert'])
const ENDED: ReadonlySet<string> = new Set(['committed', 'rejected', 'failed', 'reverted', 'stuck'])
const FAILED: Readonly<Record<string, Failure>> = {
  rejected: 'rejected',
  failed: 'failed',
  reverted: 'rolled_back',
  stuck: 'failed',
}

/** Undefined: as before. */
export function judgeMember(member: Member, fact: Fact, terms: Terms, now: number): MemberChange | undefined {
  if (!fact.isKnown) return leave(member, 'departed', 'it is no device of this registry any more')
  if (fact.isPinned && !isSettled(member.state))
    return leave(member, 'pinned', 'an assignment of its own says what it runs')
  switch (member.state) {
    case 'waiting':
      return isAway(fact, terms, now) ? defer(fact) : undefined
    case 'deferred':
      return fact.isOnline ? comeBack(member, now) : undefined
    case 'assigned':
    case 'taken':
    case 'trial':
      return judgeUnderway(member, fact, terms, now)
    case 'committed':
      return judgeCommitted(member, fact, terms, now)
    case 'vanished':
      return fact.isOnline ? judgeUnderway(member, fact, terms, now) : undefined
    case 'timed_out':
    case 'failed':
    case 'rejected':
      return member.gives === 'version' && isSuccess(fact, terms) ? succeed(member, now) : undefined
    case 'reverting':
    case 'stranded':
      return judgeReverting(member, fact, terms, now)
    case 'rolled_back':
    case 'alerted':
    case 'left':
    case 'withdrawn':
    case 'reverted':
      return undefined
  }
}

/** No more is waited for. */
function isSettled(state: MemberState): boolean {
  return !['waiting', 'assigned', 'taken', 'trial', 'deferred', 'reverting'].includes(state)
}

export function isFailure(state: MemberState): state is Failure {
  return (FAILURES as readonly MemberState[]).includes(state)
}

function leave({ state }: Member, code: string, reason: string): MemberChange | undefined {
  return state === 'left' ? undefined : { state: 'left', gives: 'nothing', code, reason }
}

function defer({ seen }: Fact): MemberChange {
  const reason = seen === 0 ? 'it has never been seen' : `away since ${new Date(seen).toISOString()}`
  return { state: 'deferred', code: 'offline', reason }
}

/** What it had begun goes on, and has its time from now on. */
function comeBack({ gives }: Member, now: number): MemberChange {
  if (gives === 'nothing') return { state: 'waiting', code: '', reason: '' }
  const state = gives === 'back' ? 'reverting' : 'assigned'
  return { state, progressed: now, code: '', reason: '' }
}

function isAway({ isOnline, seen }: Fact, { offlineMs }: Terms, now: number): boolean {
  return !isOnline && now - seen >= offlineMs
}

function isSuccess({ running, update }: Fact, { manifest, version }: Terms): boolean {
  if (running !== manifest) return false
  return update === null || update.version !== version || update.state === 'committed'
}

function succeed(member: Member, now: number): MemberChange {
  const activated = member.activated ?? now
  return { state: 'committed', step: 'committed', activated, progressed: now, code: '', reason: '' }
}

function judgeUnderway(member: Member, fact: Fact, terms: Terms, now: number): MemberChange | undefined {
  if (fact.alert !== null && member.state === 'trial')
    return { state: 'alerted', code: 'alert', reason: fact.alert }
  const isTaken = member.rev !== null && fact.rev >= member.rev
  const moved = isTaken ? judgeUpdate(member, fact, terms, now) : undefined
  if (moved !== undefined) return moved
  if (member.state === 'trial' && !fact.isOnline) {
    if (now - Math.max(fact.seen, member.activated ?? 0) < terms.vanishMs) return undefined
    return vanish(fact)
  }
  if (isAway(fact, terms, now)) return defer(fact)
  return fact.isOnline ? judgeTime(member, terms, now) : undefined
}

/** What the report says of the update that the rollout has asked for. */
function judgeUpdate(member: Member, fact: Fact, terms: Terms, now: number): MemberChange | undefined {
  if (isSuccess(fact, terms)) return succeed(member, now)
  const { update } = fact
  const isOurs = update !== null && update.version === terms.version && update.rev >= (member.rev ?? 0)
  const step = isOurs ? update.state : ''
  const failure = isOurs && update.code !== 'superseded' ? FAILED[step] : undefined
  if (isOurs && failure !== undefined)
    return { state: failure, step, progressed: now, code: update.code, reason: update.reason }
  const isActivated = ACTIVATED.has(step)
  const state = isActivated ? 'trial' : 'taken'
  if (member.state === state && member.step === step) return undefined
  const activated = isActivated ? { activated: member.activated ?? now } : {}
  return { state, step, progressed: now, code: '', reason: '', ...activated }
}

function judgeTime(member: Member, terms: Terms, now: number): MemberChange | undefined {
  const extra = member.step === 'wait' ? terms.deferMs : member.state === 'trial' ? terms.trialMs : 0
  const allowed = terms.deviceMs + extra
  const since = Math.max(member.progressed ?? 0, member.given ?? 0)
  if (member.state === 'vanished' || now - since < allowed) return undefined
  const reason = `no step further for ${Math.round((now - since) / 1000)} s, at most ${allowed / 1000}: ${member.step || 'not taken'}`
  return { state: 'timed_out', code: 'timed_out', reason }
}

function vanish({ seen }: Fact): MemberChange {
  return {
    state: 'vanished',
    code: 'vanished',
    reason: `dark since ${new Date(seen).toISOString()}, shortly after its switch`,
  }
}

function judgeCommitted(member: Member, fact: Fact, terms: Terms, now: number): MemberChange | undefined {
  const activated = member.activated ?? 0
  if (fact.alert !== null && now - activated < terms.vanishMs)
    return { state: 'alerted', code: 'alert', reason: fact.alert }
  if (fact.isOnline && fact.running !== null && fact.running !== terms.manifest)
    return { state: 'rolled_back', code: 'fell_back', reason: 'it runs another version again' }
  const isDark = !fact.isOnline && fact.seen - activated < terms.vanishMs && now - fact.seen >= terms.vanishMs
  return isDark ? vanish(fact) : undefined
}

function judgeReverting(member: Member, fact: Fact, terms: Terms, now: number): MemberChange | undefined {
  if (isAway(fact, terms, now) && member.state === 'reverting') return defer(fact)
  if (member.rev === null || fact.rev < member.rev) return overdue(member, terms, now)
  const { update } = fact
  const isMoving = update !== null && !ENDED.has(update.state)
  if (fact.running !== terms.manifest && !isMoving)
    return { state: 'reverted', step: '', progressed: now, code: '', reason: '' }
  const isRefused =
    update !== null &&
    update.rev >= member.rev &&
    update.version !== terms.version &&
    update.code !== 'superseded'
  if (isRefused && FAILED[update.state] !== undefined && member.state === 'reverting')
    return {
      state: 'stranded',
      step: update.state,
      progressed: now,
      code: update.code,
      reason: update.reason,
    }
  return overdue(member, terms, now)
}

function overdue(member: Member, terms: Terms, now: number): MemberChange | undefined {
  const since = Math.max(member.given ?? 0, member.progressed ?? 0)
  if (member.state === 'stranded' || now - since < terms.deviceMs + terms.trialMs) return undefined
  return { state: 'stranded', code: 'timed_out', reason: 'it has not gone back in time' }
}
