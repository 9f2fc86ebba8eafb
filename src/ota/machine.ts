/**
 *   resolve ─► plan ─► download ⇄ verify ─► stage ─► probe ─► wait ─► activate ─► observe ─► commit ─► committed
 *      └────────┴─────────┴─────────┴─────────┴────────┴───────┤          └──────────┴─► revert ─► reverted
 *                                             rejected, failed ◄┘                          └─► stuck
 *
 * An update is the way of one model of a device from one version to another. Three tables are the machine; the runner
 * is the loop over them.
 */
export const WORKING = [
  'resolve',
  'plan',
  'download',
  'verify',
  'stage',
  'probe',
  'wait',
  'activate',
  'observe',
  'commit',
  'revert',
] as const

/**
 * `rejected`: this version must not run here, or was taken back before it did. `failed`: it could not be brought here;
 * another device, or another day, may see it done. `reverted`: it ran and was taken back. `stuck` asks for a person.
 */
export const ENDED = ['committed', 'rejected', 'failed', 'reverted', 'stuck'] as const

export type Working = (typeof WORKING)[number]
type Ended = (typeof ENDED)[number]
export type State = Working | Ended

/** `damaged`: what was brought here is not what was promised; what is wrong of it has been let go. */
export const OUTCOMES = ['ok', 'damaged', 'rejected', 'failed', 'superseded'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** Complete by type: a new state or outcome does not compile until every cell has been thought of. */
export const NEXT: Record<Working, Record<Outcome, State>> = {
  resolve: { ok: 'plan', damaged: 'failed', rejected: 'rejected', failed: 'failed', superseded: 'rejected' },
  plan: {
    ok: 'download',
    damaged: 'resolve',
    rejected: 'rejected',
    failed: 'failed',
    superseded: 'rejected',
  },
  download: {
    ok: 'verify',
    damaged: 'resolve',
    rejected: 'rejected',
    failed: 'failed',
    superseded: 'rejected',
  },
  verify: {
    ok: 'stage',
    damaged: 'download',
    rejected: 'rejected',
    failed: 'failed',
    superseded: 'rejected',
  },
  stage: { ok: 'probe', damaged: 'download', rejected: 'rejected', failed: 'failed', superseded: 'rejected' },
  probe: { ok: 'wait', damaged: 'download', rejected: 'rejected', failed: 'failed', superseded: 'rejected' },
  wait: {
    ok: 'activate',
    damaged: 'download',
    rejected: 'rejected',
    failed: 'failed',
    superseded: 'rejected',
  },
  // From here on requests may be answered by the new version: a newer one has to wait, and a failure is taken back.
  activate: {
    ok: 'observe',
    damaged: 'revert',
    rejected: 'revert',
    failed: 'revert',
    superseded: 'activate',
  },
  observe: { ok: 'commit', damaged: 'revert', rejected: 'revert', failed: 'revert', superseded: 'observe' },
  commit: { ok: 'committed', damaged: 'revert', rejected: 'commit', failed: 'commit', superseded: 'commit' },
  // Reverting only points back at files that are still there; if that fails, it is tried again.
  revert: { ok: 'reverted', damaged: 'revert', rejected: 'revert', failed: 'revert', superseded: 'revert' },
}

/**
 * Where the next start goes on after the power was cut. Every step can run twice. A cut in activate or observe may be
 * the model's doing: it is allowed BOOTS_MAX - 1 times.
 */
export const RESUME: Record<Working, Working> = {
  resolve: 'resolve',
  plan: 'plan',
  download: 'download',
  // What was verified before the cut may have been lost in it.
  verify: 'verify',
  stage: 'verify',
  probe: 'probe',
  wait: 'wait',
  activate: 'activate',
  observe: 'observe',
  commit: 'commit',
  revert: 'revert',
}

/** What an update comes to when it has used up its transitions. */
export const GIVE_UP: Record<Working, State> = {
  resolve: 'failed',
  plan: 'failed',
  download: 'failed',
  verify: 'failed',
  stage: 'failed',
  probe: 'failed',
  wait: 'failed',
  activate: 'revert',
  observe: 'revert',
  // The version serves and has proven itself; only the note of it cannot be written.
  commit: 'stuck',
  revert: 'stuck',
}

/** So many states may be written for one update: a loop that nobody has thought of ends here. */
export const TRANSITIONS_MAX = 28
/** So many more for the way back, which must still be possible when the way there was long. */
export const REVERTS_MAX = 6
/** The start that finds an update serving on trial for the third time takes it back. */
export const BOOTS_MAX = 3

/** The new version may be answering requests, and has not proven itself. */
const ON_TRIAL: ReadonlySet<State> = new Set(['activate', 'observe'])

export function isWorking(state: State): state is Working {
  return (WORKING as readonly State[]).includes(state)
}

export function isOnTrial(state: State): boolean {
  return ON_TRIAL.has(state)
}

/** Before this a newer assignment ends the update at once; after it the newer one has to wait. */
export function canBeSuperseded(state: Working): boolean {
  return !isWorking(NEXT[state].superseded)
}

/** Where an update goes on that a start of the agent finds; `boots` counts the starts that found it on trial. */
export function resumeAt(state: Working, boots: number): Working {
  return isOnTrial(state) && boots >= BOOTS_MAX ? 'revert' : RESUME[state]
}

export function hasUsedUp(state: Working, transitions: number): boolean {
  return transitions >= TRANSITIONS_MAX + (state === 'revert' ? REVERTS_MAX : 0)
}
