import type { StepResult } from '../step.ts'
import type { Update } from '../update.ts'

/** What an earlier step has left is not there, or not what it was: that step has to run again. */
export function gone({ model, version }: Update): StepResult {
  return {
    outcome: 'damaged',
    code: 'manifest_lost',
    reason: `the manifest of ${model} ${version} is not on the disk any more`,
  }
}
