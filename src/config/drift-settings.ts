import { z } from 'zod'

/** What a model's numbers are like is summed up, so that a change of them shows. */
export const DriftSettings = z.strictObject({
  /** Of all requests, by chance. */
  percent: z.number().min(0).max(100).default(1),
})
