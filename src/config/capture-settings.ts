import { z } from 'zod'

/** Which requests of a model are kept with their answers, to be looked at or replayed. */
export const CaptureSettings = z.strictObject({
  /** Of all requests, by chance. */
  percent: z.number().min(0).max(100).default(0),
  /** Those that fail in the model, do not fit it, or are answered with NaN or infinity. */
  on_failure: z.boolean().default(false),
  /** On disk; the oldest go. */
  bytes_max: z
    .int()
    .min(65_536)
    .max(2 ** 40)
    .default(64 * 1024 ** 2),
})
