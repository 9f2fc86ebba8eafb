import { REFUSALS } from '../trust/refusal.ts'
import { isWorking } from './machine.ts'
import type { Assigned, Installed, Update } from './update.ts'

/** What is to be done, out of what is assigned and what is so. Pure. */

/** What was given up may be begun again after so long: whatever was in the way may have gone. */
export const AGAIN_MS = 3_600_000

export interface Facts {
  readonly assigned: readonly Assigned[]
  /** The newest update of each model. */
  readonly updates: readonly Update[]
  /** What each model's pointer says. */
  readonly running: ReadonlyMap<string, Installed>
  readonly nowMs: number
}

/** Updates to begin, the most urgent first; equal ones in the order of the assignment. */
export function chooseUpdates(facts: Facts): readonly Assigned[] {
  const latest = new Map(facts.updates.map((update) => [update.model, update]))
  return facts.assigned
    .filter((wanted) => {
      const last = latest.get(wanted.model)
      if (last !== undefined && isWorking(last.state)) return false
      if (facts.running.get(wanted.model)?.manifest === wanted.manifest) return false
      return last === undefined || mayBegin(wanted, last, facts.nowMs)
    })
    .toSorted((a, b) => b.priority - a.priority)
}

/** An update that has ended is its assignment's answer, unless time or a newer assignment can change it. */
function mayBegin(wanted: Assigned, last: Update, nowMs: number): boolean {
  const isAnswer = last.manifest === wanted.manifest && last.rev === wanted.rev
  if (!isAnswer || last.state === 'committed') return true
  const canChange = last.state === 'failed' || (last.state === 'rejected' && isPassing(last.code))
  // A clock that was set back must not stop it for long.
  return canChange && Math.abs(nowMs - last.sinceMs) >= AGAIN_MS
}

/** Of this device, as it was then. */
const ROOM: ReadonlySet<string> = new Set(['no_space', 'no_memory'])

function isPassing(code: string): boolean {
  if (ROOM.has(code)) return true
  return Object.hasOwn(REFUSALS, code) && REFUSALS[code as keyof typeof REFUSALS].retry
}

/** What a newer assignment means for an update on its way: "same" goes on under the new rev. */
export function compareWanted(update: Update, wanted: Assigned | undefined): 'same' | 'another' {
  if (wanted === undefined || wanted.manifest !== update.manifest) return 'another'
  const terms = ({ schedule, policy, allowDowngrade, priority }: Assigned) =>
    JSON.stringify([schedule, policy, allowDowngrade, priority])
  return terms(update) === terms(wanted) ? 'same' : 'another'
}
