import type { MessageReader } from './reader.ts'

const ACTIONS = { REJECT: 'reject', DELAY: 'delay' } as const

/** Triton's `ModelDynamicBatching`, as the schema of `[batching]` takes it. Bounds are left to the schema. */
export function readBatching(message: MessageReader) {
  const policies = message.entries('priority_queue_policy', {
    key: (entry) => String(entry.integer('key') ?? ''),
    value: (entry) => {
      const policy = entry.message('value')
      return policy === undefined ? undefined : readPolicy(policy)
    },
  })
  const policy = message.message('default_queue_policy')
  const batching = {
    preferred_batch_sizes: message.integers('preferred_batch_size'),
    queue_delay_us_max: message.integer('max_queue_delay_microseconds'),
    preserve_ordering: message.boolean('preserve_ordering'),
    priority_levels: message.integer('priority_levels'),
    default_priority_level: message.integer('default_priority_level'),
    default_queue_policy: policy === undefined ? undefined : readPolicy(policy),
    priority_queue_policy: Object.fromEntries(policies),
  }
  message.finish()
  return batching
}

function readPolicy(message: MessageReader) {
  const policy = {
    timeout_us: message.integer('default_timeout_microseconds'),
    timeout_action: message.choice('timeout_action', ACTIONS),
    may_override_timeout: message.boolean('allow_timeout_override'),
    items_max: message.integer('max_queue_size'),
  }
  message.finish()
  return policy
}
