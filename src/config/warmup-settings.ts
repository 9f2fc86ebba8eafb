import { z } from 'zod'

const DIMS = z
  .array(
    z
      .int()
      .min(1)
      .max(2 ** 31 - 1),
  )
  .max(64)

const WarmupInput = z
  .strictObject({
    /** As the Open Inference Protocol names it; has to be the model's. */
    datatype: z.string().min(1),
    /** Without the batch dimension when `max_batch_size` is above 0. */
    dims: DIMS,
    /** What it holds. */
    content: z.enum(['zeros', 'random']).optional(),
    /** Or the bytes of one item, in a file of the model's folder `warmup`. */
    file: z.string().min(1).max(1024).optional(),
  })
  .check(({ value, issues }) => {
    if ((value.content === undefined) !== (value.file === undefined)) return
    const message = 'expected one of content = "zeros", content = "random" and file = "NAME"'
    issues.push({ code: 'custom', path: [], message, input: value })
  })

const WarmupSample = z.strictObject({
  /** For messages. */
  name: z.string().min(1).max(256),
  /** One item, so many times over. */
  batch_size: z.int().min(1).max(65_536).default(1),
  count: z.int().min(1).max(10_000).default(1),
  /** Without any: zeros for all that the model needs, in the smallest shape that it takes. */
  inputs: z.record(z.string().min(1), WarmupInput).default({}),
})

/** Runs before a version is ready: Triton's `model_warmup`, or a number of runs on zeros. */
export const WarmupSettings = z.preprocess(fromCount, z.array(WarmupSample).max(256)).default([])

export type WarmupSettings = z.infer<typeof WarmupSettings>

function fromCount(settings: unknown): unknown {
  if (typeof settings !== 'number') return settings
  return settings === 0 ? [] : [{ name: 'zeros', count: settings }]
}
