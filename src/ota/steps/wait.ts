import type { Parts } from '../parts.ts'
import { deferred, leftMs } from '../retry.ts'
import { failed, OK, type Step } from '../step.ts'
import type { Update } from '../update.ts'
import { closedBecause } from '../window.ts'

/** Between two looks at the clock, the file and the approvals. */
const LOOK_MS = 2_000

/** Everything is here and proven; the switch waits until it may be. */
export function createWait(parts: Parts): Step {
  const { clock } = parts
  return async (job) => {
    for (;;) {
      const why = await waitsFor(parts, job.update)
      if (why === undefined) return OK
      if (leftMs(job, clock) <= 0) return failed('window', `${deferred(job)}, it waited for: ${why}`)
      job.progress(100, why)
      await clock.sleep(Math.min(LOOK_MS, leftMs(job, clock)), job.signal)
      job.signal.throwIfAborted()
    }
  }
}

async function waitsFor({ clock, gate, turns }: Parts, update: Update): Promise<string | undefined> {
  const { schedule, manifest, model } = update
  if (schedule.needsApproval && !gate.isApproved(manifest)) return `approval (limpet approve ${model})`
  return (
    closedBecause(schedule, clock.now()) ??
    (await gate.inhibited()) ??
    (turns.isTaken('trial') ? 'another model is on trial' : undefined)
  )
}
