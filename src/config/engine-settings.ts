import { z } from 'zod'

const Policy = z.enum(['keep', 'off'])
const BytesMax = z
  .int()
  .min(0)
  .max(2 ** 50)

/** What is made of models, like rewritten graphs and compiled engines, and kept on the disk. In a config. */
export const EngineSettings = z.strictObject({
  /** "off": each start makes it anew. Without it the firmware profile decides. */
  policy: Policy.optional(),
  /** Of all models together. Without it the firmware profile decides. */
  bytes_max: BytesMax.optional(),
  /** While a provider compiles a model, which takes minutes, the model is served by those that need not. */
  serve_meanwhile: z.boolean().default(true),
})

/** The same in a firmware profile, which says it all. */
export const EnginePolicy = z.strictObject({
  policy: Policy.default('keep'),
  bytes_max: BytesMax.default(1024 ** 3),
})
