import type { Measured } from './source.ts'

/**
 * When a value is an alert. A pure function of what was measured: a value has to be beyond its limit several times in a
 * row, and back within it by a margin as often, so that one that swings about its limit does not raise an alert each time.
 */
export interface AlertRule {
  readonly name: string
  /** Of what is measured. */
  readonly measured: string
  /** The label that says what of the device it is about; without it there is one of it. */
  readonly subject?: string
  /** Beyond is above, or below. */
  readonly beyond: 'above' | 'below'
  readonly warning: number | undefined
  readonly critical: number | undefined
  /** How far within its limit a value has to be to count as well again. */
  readonly margin: number
  readonly unit: string
}

type Severity = 'warning' | 'critical'

export interface AlertState {
  readonly name: string
  readonly subject: string
  /** Undefined: there is no alert, but there may be one soon. */
  readonly severity: Severity | undefined
  /** Milliseconds since 1970. */
  readonly since: number
  readonly value: number
  readonly limit: number
  /** In a row: which severity the values ask for, and how often they have. */
  readonly asked: Severity | undefined
  readonly times: number
  readonly message: string
  /** Samples that have not measured it. */
  readonly missed: number
}

export type AlertStates = ReadonlyMap<string, AlertState>

export interface AlertChange {
  readonly name: string
  readonly subject: string
  readonly state: 'raised' | 'cleared'
  readonly severity: Severity
  readonly since: number
  readonly value: number
  readonly limit: number
  readonly message: string
}

/** In a row, before anything is raised or cleared. */
const TIMES = 3
/** What has not been measured for so many samples is gone, and nothing is wrong with it any more. */
const MISSED_MAX = 60
const ALERTS_MAX = 256

export function judge(
  states: AlertStates,
  measured: readonly Measured[],
  { rules, nowMs }: { rules: readonly AlertRule[]; nowMs: number },
): { states: AlertStates; changes: AlertChange[] } {
  const next = new Map<string, AlertState>()
  const changes: AlertChange[] = []
  for (const rule of rules) {
    for (const { value, labels } of measured.filter(({ name }) => name === rule.measured)) {
      const subject = rule.subject === undefined ? '' : (labels?.[rule.subject] ?? '')
      const key = keyOf({ name: rule.name, subject })
      const before = states.get(key) ?? calm(rule, subject)
      const after = step(before, { rule, value, nowMs })
      const change = after.severity === before.severity ? undefined : describe(before, { after, rule })
      if (change !== undefined) changes.push(change)
      if ((after.severity ?? after.asked) !== undefined && next.size < ALERTS_MAX)
        next.set(key, { ...after, message: change?.message ?? before.message })
    }
  }
  for (const [key, before] of states) {
    if (next.has(key) || wasMeasured(before, { rules, measured })) continue
    const missed = before.missed + 1
    if (missed < MISSED_MAX) next.set(key, { ...before, missed })
    else if (before.severity !== undefined) changes.push(gone(before, before.severity))
  }
  return { states: next, changes }
}

export function keyOf({ name, subject }: { name: string; subject: string }): string {
  return `${name} ${subject}`
}

function calm({ name }: AlertRule, subject: string): AlertState {
  return {
    name,
    subject,
    severity: undefined,
    since: 0,
    value: 0,
    limit: 0,
    asked: undefined,
    times: 0,
    message: '',
    missed: 0,
  }
}

function step(
  before: AlertState,
  { rule, value, nowMs }: { rule: AlertRule; value: number; nowMs: number },
): AlertState {
  const asked = severityOf(rule, { value, held: before.severity })
  const times = asked === before.asked ? before.times + 1 : 1
  const isChange = asked !== before.severity && times >= TIMES
  const severity = isChange ? asked : before.severity
  return {
    ...before,
    severity,
    value,
    limit: limitOf(rule, severity ?? asked) ?? before.limit,
    since: isChange && before.severity === undefined ? nowMs : before.since,
    asked,
    times: Math.min(times, TIMES),
    missed: 0,
  }
}

/** What is held is let go only when the value is within its limit by the margin. */
function severityOf(
  rule: AlertRule,
  { value, held }: { value: number; held: Severity | undefined },
): Severity | undefined {
  const isBeyond = (severity: Severity) => {
    const limit = limitOf(rule, severity)
    if (limit === undefined) return false
    const isHeld = held === severity || held === 'critical'
    const edge = isHeld ? limit - (rule.beyond === 'above' ? rule.margin : -rule.margin) : limit
    return rule.beyond === 'above' ? value >= edge : value <= edge
  }
  if (isBeyond('critical')) return 'critical'
  return isBeyond('warning') ? 'warning' : undefined
}

function limitOf({ warning, critical }: AlertRule, severity: Severity | undefined): number | undefined {
  if (severity === undefined) return undefined
  return severity === 'critical' ? critical : warning
}

function describe(before: AlertState, { after, rule }: { after: AlertState; rule: AlertRule }): AlertChange {
  const { name, subject, since, value } = after
  const severity = after.severity ?? before.severity ?? 'warning'
  const state = after.severity === undefined ? 'cleared' : 'raised'
  const limit = limitOf(rule, severity) ?? after.limit
  const what = subject === '' ? name : `${name} of ${subject}`
  const message = `${what} is ${round(value)}${rule.unit}, ${state === 'raised' ? `the limit is ${limit}${rule.unit}` : 'well again'}`
  return { name, subject, state, severity, since, value: round(value), limit, message }
}

function gone({ name, subject, since, value, limit }: AlertState, severity: Severity): AlertChange {
  const what = subject === '' ? name : `${name} of ${subject}`
  return {
    name,
    subject,
    state: 'cleared',
    severity,
    since,
    value,
    limit,
    message: `${what} is not measured any more`,
  }
}

function wasMeasured(
  state: AlertState,
  { rules, measured }: { rules: readonly AlertRule[]; measured: readonly Measured[] },
): boolean {
  const rule = rules.find(({ name }) => name === state.name)
  return measured.some(
    ({ name, labels }) =>
      name === rule?.measured &&
      (rule.subject === undefined ? '' : (labels?.[rule.subject] ?? '')) === state.subject,
  )
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
