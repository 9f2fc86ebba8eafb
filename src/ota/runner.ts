import type { Clock } from '../kit/clock.ts'
import { BugError } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Change, Journal } from './journal.ts'
import {
  BOOTS_MAX,
  canBeSuperseded,
  GIVE_UP,
  hasUsedUp,
  isOnTrial,
  isWorking,
  NEXT,
  resumeAt,
  type Working,
} from './machine.ts'
import { type Job, resultOf, type StepResult, type Steps } from './step.ts'
import type { Turn, Turns } from './turns.ts'
import type { Update } from './update.ts'

const MINUTE_MS = 60_000

/** How long a step may go without progress. Those that wait for the world keep their own time. */
export const SILENT_MS_MAX: Record<Working, number> = {
  resolve: Number.POSITIVE_INFINITY,
  plan: MINUTE_MS,
  download: Number.POSITIVE_INFINITY,
  verify: 10 * MINUTE_MS,
  stage: 10 * MINUTE_MS,
  // A GPU's engine may take long to build.
  probe: 60 * MINUTE_MS,
  wait: Number.POSITIVE_INFINITY,
  activate: 5 * MINUTE_MS,
  observe: Number.POSITIVE_INFINITY,
  commit: MINUTE_MS,
  revert: 5 * MINUTE_MS,
}

/** A step that has been told to end may take so long for it. */
const END_MS_MAX = MINUTE_MS

/**
 * A start that finds an update there counts as a transition: what cuts the process off may be the update's own doing.
 * The others wait for the world, or lead out of harm, and may outlive any number of starts.
 */
const COUNTS_STARTS: ReadonlySet<Working> = new Set<Working>(['resolve', 'plan', 'verify', 'stage', 'probe'])

export interface Signals {
  /** Another version is wanted now. */
  readonly newer: AbortSignal
  /** The process is stopping. */
  readonly stop: AbortSignal
}

/** The loop over the machine's tables: writes a state, does its work, writes the next. */
export class Runner {
  readonly #journal: Journal
  readonly #steps: Steps
  readonly #clock: Clock
  readonly #turns: Turns
  readonly #progress: (update: Update, percent: number | undefined, waitsFor: string) => void
  readonly #log: Logger = logger('ota')

  constructor(parts: {
    journal: Journal
    steps: Steps
    clock: Clock
    turns: Turns
    progress: (update: Update, percent: number | undefined, waitsFor: string) => void
  }) {
    this.#journal = parts.journal
    this.#steps = parts.steps
    this.#clock = parts.clock
    this.#turns = parts.turns
    this.#progress = parts.progress
  }

  /** Of an update that an earlier process has left: where it goes on is decided, and counted. */
  resume(update: Update): Update {
    const { state } = update
    if (!isWorking(state)) return update
    const boots = update.boots + (isOnTrial(state) ? 1 : 0)
    const next = resumeAt(state, boots)
    if (next === 'revert' && state !== 'revert') {
      const reason = `the agent has started ${boots} times with it on trial, at most ${BOOTS_MAX - 1}`
      return this.#move(update, { state: next, boots, code: 'boot_loop', reason, quarantine: true })
    }
    if (COUNTS_STARTS.has(state) && hasUsedUp(state, update.transitions)) {
      const reason = `cut off in ${state}, after ${update.transitions} states and starts`
      return this.#move(update, { state: GIVE_UP[state], code: 'loop', reason })
    }
    if (next === state) {
      const transitions = COUNTS_STARTS.has(state) ? 1 : 0
      return this.#journal.count(update.id, { boots: boots - update.boots, transitions })
    }
    return this.#move(update, { state: next, boots, code: 'interrupted', reason: `cut off in ${state}` })
  }

  /** Until the update has ended, or the process is stopping. */
  async run(update: Update, signals: Signals): Promise<Update> {
    let current = update
    let turn: Turn | undefined
    try {
      while (isWorking(current.state) && !signals.stop.aborted) {
        const { state } = current
        turn = await this.#turns.change(turn, current, heeded(state, signals))
        const result = await this.#attempt(current, state, signals)
        if (result === undefined) return this.#pause(current)
        current = this.#move(current, this.#decide(current, state, result))
      }
    } finally {
      turn?.release()
    }
    return isWorking(current.state) ? this.#pause(current) : current
  }

  #decide(current: Update, state: Working, result: StepResult): Change {
    const next = NEXT[state][result.outcome]
    const change = { ...reasonOf(current, state, result), state: next }
    // A state that was just written and ended is not over its bound.
    if (!isWorking(next) || !hasUsedUp(next, current.transitions)) return change
    const code = result.outcome === 'ok' ? 'loop' : result.code
    const words = result.outcome === 'ok' ? '' : `: ${result.reason}`
    const reason = `after ${current.transitions} states in ${next}${words}`
    return { state: GIVE_UP[next], code, reason, quarantine: GIVE_UP[next] === 'revert' }
  }

  #move(current: Update, change: Change): Update {
    const tookMs = Math.max(0, this.#clock.now() - current.sinceMs)
    const after = this.#journal.write(current.id, change)
    const { model, version, code, reason } = after
    const fields = { model, version, from: current.state, to: after.state, took_ms: tookMs, code, reason }
    if (after.state === 'stuck') this.#log.error('ota.transition', fields)
    else if (code !== '') this.#log.warn('ota.transition', fields)
    else this.#log.info('ota.transition', fields)
    return after
  }

  /** A clean stop is not the model's fault. */
  #pause(current: Update): Update {
    if (!isOnTrial(current.state)) return current
    return this.#journal.count(current.id, { boots: current.boots > 0 ? -1 : 0, transitions: 0 })
  }

  /** Undefined when the process is stopping. */
  async #attempt(update: Update, state: Working, signals: Signals): Promise<StepResult | undefined> {
    const watch = new Watch(this.#clock, SILENT_MS_MAX[state], heeded(state, signals))
    const job: Job = {
      update,
      signal: watch.signal,
      progress: (percent, waitsFor = '') => {
        watch.live()
        this.#progress(update, percent, waitsFor)
      },
    }
    // Stopped, or superseded, while it waited for its turn: then it has none.
    if (signals.stop.aborted) return undefined
    if (canBeSuperseded(state) && signals.newer.aborted) return SUPERSEDED
    const result = await watch.over(state, () => this.#steps[state](job))
    if (canBeSuperseded(state) && signals.newer.aborted) return SUPERSEDED
    if ('done' in result) return result.done
    if (signals.stop.aborted) return undefined
    if (watch.isOverdue) {
      const seconds = SILENT_MS_MAX[state] / 1000
      return { outcome: 'failed', code: 'deadline', reason: `no progress in ${state} for ${seconds} s` }
    }
    const understood = resultOf(result.threw)
    if (understood === undefined) throw result.threw
    return understood
  }
}

const SUPERSEDED: StepResult = {
  outcome: 'superseded',
  code: 'superseded',
  reason: 'something else is assigned',
}

/** What may cut short the step of this state. */
function heeded(state: Working, { newer, stop }: Signals): AbortSignal[] {
  return canBeSuperseded(state) ? [stop, newer] : [stop]
}

/** On the way back and at its end the reason is the one why it was begun; a trial that failed and is kept keeps its own. */
function reasonOf({ code, reason }: Update, state: Working, result: StepResult): Partial<Change> {
  if (result.outcome !== 'ok') return result
  if (state === 'revert' || state === 'commit') return { code, reason }
  return { code: result.code ?? '', reason: result.reason ?? '' }
}

/** Looks after one step: whether it goes on, and whether it ends when it is told to. */
class Watch {
  readonly #clock: Clock
  readonly #silentMsMax: number
  readonly #overdue = new AbortController()
  readonly #done = new AbortController()
  #liveAt: number
  readonly signal: AbortSignal

  constructor(clock: Clock, silentMsMax: number, others: readonly AbortSignal[]) {
    this.#clock = clock
    this.#silentMsMax = silentMsMax
    this.#liveAt = clock.elapsed()
    this.signal = AbortSignal.any([this.#overdue.signal, ...others])
  }

  get isOverdue(): boolean {
    return this.#overdue.signal.aborted
  }

  live(): void {
    this.#liveAt = this.#clock.elapsed()
  }

  async over(
    state: Working,
    step: () => Promise<StepResult>,
  ): Promise<{ readonly done: StepResult } | { readonly threw: unknown }> {
    const work = step().then(
      (done) => ({ done }),
      (threw: unknown) => ({ threw }),
    )
    const hung = this.#watch(state)
    try {
      return await Promise.race([work, hung])
    } finally {
      this.#done.abort()
    }
  }

  /** Only ends by throwing: a step that does not heed its signal cannot be helped but by a new start. */
  async #watch(state: Working): Promise<never> {
    while (Number.isFinite(this.#silentMsMax) && !this.signal.aborted) {
      const leftMs = this.#liveAt + this.#silentMsMax - this.#clock.elapsed()
      if (leftMs <= 0) this.#overdue.abort()
      else await this.#clock.sleep(leftMs, AbortSignal.any([this.#done.signal, this.signal]))
      if (this.#done.signal.aborted) return await never()
    }
    await fired(this.signal)
    await this.#clock.sleep(END_MS_MAX, this.#done.signal)
    if (this.#done.signal.aborted) return await never()
    throw new BugError(`The step ${state} goes on ${END_MS_MAX / 1000} s after it was told to end`)
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}

function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
