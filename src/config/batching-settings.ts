import { z } from 'zod'

const MICROSECONDS_MAX = 3_600_000_000

/** What becomes of a request that waits: Triton's `ModelQueuePolicy`. */
const QueuePolicy = z.strictObject({
  /** Microseconds; 0 never times out. */
  timeout_us: z.int().min(0).max(MICROSECONDS_MAX).default(0),
  /** "reject" answers 503; "delay" lets it wait behind those that have time left. */
  timeout_action: z.enum(['reject', 'delay']).default('reject'),
  /** A request's own `timeout` parameter may then shorten the time, never lengthen it. */
  may_override_timeout: z.boolean().default(false),
  /** 0 leaves the bound to inference.queue_items_max. */
  items_max: z.int().min(0).max(65_536).default(0),
})

/** Triton's `ModelDynamicBatching`. */
export const BatchingSettings = z.strictObject({
  /** Sizes to wait for, up to the longest delay. */
  preferred_batch_sizes: z.array(z.int().min(1).max(65_536)).max(64).default([]),
  /** Microseconds that the oldest request may wait for others. */
  queue_delay_us_max: z.int().min(0).max(MICROSECONDS_MAX).default(0),
  /** Answers leave in the order in which the requests came. */
  preserve_ordering: z.boolean().default(false),
  /** 0: no priorities. Level 1 is served first. */
  priority_levels: z.int().min(0).max(64).default(0),
  /** For requests that name none. */
  default_priority_level: z.int().min(0).max(64).default(0),
  default_queue_policy: QueuePolicy.prefault({}),
  /** By level, as a key of digits. */
  priority_queue_policy: z.record(z.string().regex(/^[1-9]\d?$/), QueuePolicy).default({}),
})

export type BatchingSettings = z.infer<typeof BatchingSettings>
