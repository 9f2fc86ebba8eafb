import type { Config } from '../config/config.ts'
import type { ModelSettings } from '../config/model-settings.ts'
import type { EnsemblePlan } from '../inference/ensemble/fit.ts'
import type { LifePolicy } from '../inference/life.ts'
import type { LanePlan } from '../inference/open-lane.ts'
import type { QueuePolicy, Scheduling } from '../inference/scheduling.ts'

type BatchingSettings = NonNullable<ModelSettings['batching']>
type PolicySettings = BatchingSettings['default_queue_policy']

/** A model's settings in the words of the engine. */
export function planScheduling(
  settings: ModelSettings,
  queueItemsMax: Config['inference']['queue_items_max'],
): Pick<LanePlan, 'scheduling' | 'instances' | 'isCached'> {
  const { batching, sequences } = settings
  // What is put together is the next requests of the sequences, in the same manner.
  const joining = sequences?.strategy === 'oldest' ? sequences : batching
  const policy = (of: PolicySettings | undefined): QueuePolicy => ({
    timeoutMs: (of?.timeout_us ?? 0) / 1000,
    timeoutAction: of?.timeout_action ?? 'reject',
    mayOverrideTimeout: of?.may_override_timeout ?? false,
    itemsMax: of === undefined || of.items_max === 0 ? queueItemsMax : of.items_max,
  })
  const policies = Object.entries(batching?.priority_queue_policy ?? {})
  const priorityLevels = Math.max(1, batching?.priority_levels ?? 0)
  const scheduling: Scheduling = {
    batchSizeMax: settings.max_batch_size,
    isDynamic: joining !== undefined && settings.max_batch_size > 0,
    preferredBatchSizes: joining?.preferred_batch_sizes ?? [],
    queueDelayMsMax: (joining?.queue_delay_us_max ?? 0) / 1000,
    preserveOrdering: joining?.preserve_ordering ?? false,
    priorityLevels,
    defaultPriorityLevel: Math.max(1, batching?.default_priority_level ?? 0),
    defaultPolicy: policy(batching?.default_queue_policy),
    policies: new Map(policies.map(([level, of]) => [Number(level), policy(of)])),
  }
  return { scheduling, instances: settings.instances, isCached: settings.response_cache }
}

/** How the lanes of a model come and go; what came in a request has no files to be loaded from again. */
export function planLife(settings: ModelSettings, isTransient: boolean): LifePolicy {
  const { swap, pinned: isPinned, on_demand: isOnDemand } = settings
  return { swap, isPinned, isOnDemand: isOnDemand && !isTransient, isTransient }
}

export function planEnsemble(
  id: { readonly model: string; readonly version: string },
  { ensemble, ...settings }: ModelSettings & { ensemble: NonNullable<ModelSettings['ensemble']> },
): EnsemblePlan {
  const { max_batch_size: batchSizeMax, inputs, outputs } = settings
  const steps = ensemble.steps.map((step) => ({ ...step, version: step.version }))
  return { ...id, batchSizeMax, steps, inputs, outputs }
}
