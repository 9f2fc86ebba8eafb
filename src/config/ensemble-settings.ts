import { z } from 'zod'

const Name = z.string().min(1)

const StepSettings = z.strictObject({
  model: Name,
  /** Without it the latest that is ready, as for a request. */
  version: Name.optional(),
  /** By the model's inputs: the ensemble's tensor that each is given. */
  inputs: z.record(Name, Name).default({}),
  /** By the model's outputs: what the ensemble calls each. Outputs that are not named here are not asked for. */
  outputs: z.record(Name, Name).default({}),
})

/** Models that are run one after the other, or beside each other, as one: Triton's `ModelEnsembling`. */
export const EnsembleSettings = z.strictObject({
  steps: z.array(StepSettings).min(1).max(256),
})

export type EnsembleSettings = z.infer<typeof EnsembleSettings>
