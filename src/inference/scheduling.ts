/** How a lane puts requests together, in milliseconds; the words are those of Triton's `ModelDynamicBatching`. */
export interface QueuePolicy {
  /** 0: never. */
  readonly timeoutMs: number
  readonly timeoutAction: 'reject' | 'delay'
  readonly mayOverrideTimeout: boolean
  readonly itemsMax: number
}

export interface Scheduling {
  /** 0: the model takes no batches, each request is run as it is. */
  readonly batchSizeMax: number
  /** False: a request is its own batch, though it may hold several items. */
  readonly isDynamic: boolean
  readonly preferredBatchSizes: readonly number[]
  readonly queueDelayMsMax: number
  readonly preserveOrdering: boolean
  /** At least 1; level 1 is served first. */
  readonly priorityLevels: number
  readonly defaultPriorityLevel: number
  readonly defaultPolicy: QueuePolicy
  readonly policies: ReadonlyMap<number, QueuePolicy>
}

export function policyOf(scheduling: Scheduling, level: number): QueuePolicy {
  return scheduling.policies.get(level) ?? scheduling.defaultPolicy
}

/** What waits, as far as forming a batch is concerned. */
export interface Batchable {
  readonly batchSize: number
  /** Requests with equal keys may share a run: same inputs, datatypes, shapes beyond the batch, and outputs. */
  readonly batchKey: string
  readonly arrivedMs: number
}

/** Send so many of those in front, or look again later. */
export type BatchVerdict = { readonly send: number } | { readonly waitMs: number }

/** Of a lane that puts no requests together: nothing has to be looked at for it. */
export const ALONE: BatchVerdict = { send: 1 }

/**
 * Looks at what waits, in the order in which it would be served. Triton's algorithm: requests are taken in order while
 * their shapes match. A preferred size that is reached is sent; so is a batch that the next request would overfill or
 * does not fit into. Otherwise the oldest may wait for others, for as long as the delay says.
 */
export function chooseBatch(
  waiting: Iterable<Batchable>,
  scheduling: Scheduling,
  nowMs: number,
): BatchVerdict {
  const { batchSizeMax, preferredBatchSizes, queueDelayMsMax } = scheduling
  let first: Batchable | undefined
  let count = 0
  let size = 0
  let preferredCount = 0
  let oldestMs = nowMs
  for (const item of waiting) {
    first ??= item
    if (!scheduling.isDynamic) return { send: 1 }
    const isClosed = item.batchKey !== first.batchKey || size + item.batchSize > batchSizeMax
    // Nothing that comes later can join: what is together goes, at a preferred size if one was reached.
    if (isClosed) return { send: preferredCount || count }
    count += 1
    size += item.batchSize
    oldestMs = Math.min(oldestMs, item.arrivedMs)
    if (preferredBatchSizes.includes(size)) preferredCount = count
  }
  if (count === 0) return { waitMs: Number.POSITIVE_INFINITY }
  if (preferredCount > 0) return { send: preferredCount }
  const waitMs = queueDelayMsMax - (nowMs - oldestMs)
  return size >= batchSizeMax || waitMs <= 0 ? { send: count } : { waitMs }
}
