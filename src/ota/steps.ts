import type { Parts } from './parts.ts'
import type { Steps } from './step.ts'
import { createActivate } from './steps/activate.ts'
import { createCommit } from './steps/commit.ts'
import { createDownload } from './steps/download.ts'
import { createObserve } from './steps/observe.ts'
import { createPlan } from './steps/plan.ts'
import { createProbe } from './steps/probe.ts'
import { createResolve } from './steps/resolve.ts'
import { createRevert } from './steps/revert.ts'
import { createStage } from './steps/stage.ts'
import { createVerify } from './steps/verify.ts'
import { createWait } from './steps/wait.ts'

/** The work of each state, in the order of a good update. */
export function createSteps(parts: Parts): Steps {
  return {
    resolve: createResolve(parts),
    plan: createPlan(parts),
    download: createDownload(parts),
    verify: createVerify(parts),
    stage: createStage(parts),
    probe: createProbe(parts),
    wait: createWait(parts),
    activate: createActivate(parts),
    observe: createObserve(parts),
    commit: createCommit(parts),
    revert: createRevert(parts),
  }
}
