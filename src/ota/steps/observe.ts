import { judge } from '../guard.ts'
import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import { OK, type Step, unfit } from '../step.ts'
import { Trial } from '../trial.ts'

const LOOK_MS = 1_000

/** Watches the new version serve, against the one before. */
export function createObserve(parts: Parts): Step {
  const { clock } = parts
  return async (job) => {
    const trial = new Trial(parts, job, await readPackage(parts, job.update))
    for (;;) {
      const shown = await trial.look()
      const judgement = judge(job.update.policy, shown)
      if (judgement.is === 'good') return OK
      if (judgement.is === 'bad') {
        const { code, reason } = judgement
        return job.update.policy.onFailure === 'keep' ? { outcome: 'ok', code, reason } : unfit(code, reason)
      }
      job.progress(judgement.percent, judgement.wants)
      await clock.sleep(LOOK_MS, job.signal)
      job.signal.throwIfAborted()
    }
  }
}
