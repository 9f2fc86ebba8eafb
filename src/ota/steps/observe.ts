import { judge } from '../guard.ts'
import { readPackage } from '../package.ts'
import type { Parts } from '../parts.ts'
import { OK, type Step, unfit } from '../step.ts'
import { Trial } from '../trial.ts'
import type { Policy, Update } from '../update.ts'

const LOOK_MS = 1_000
/** Of a model that nothing ran of before: there is nothing to hold it against, and nothing to go back to. */
const FIRST_SECONDS_MAX = 60
const FIRST_REQUESTS_MAX = 10

/** Watches the new version serve, against the one before. */
export function createObserve(parts: Parts): Step {
  const { clock } = parts
  return async (job) => {
    const policy = policyFor(job.update)
    const trial = new Trial(parts, job, await readPackage(parts, job.update))
    for (;;) {
      const shown = await trial.look()
      const judgement = judge(policy, shown)
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

function policyFor({ policy, previous }: Update): Policy {
  if (previous !== undefined) return policy
  return {
    ...policy,
    observeSeconds: Math.min(policy.observeSeconds, FIRST_SECONDS_MAX),
    requestsMin: Math.min(policy.requestsMin, FIRST_REQUESTS_MAX),
  }
}
