import type { MessageReader } from './reader.ts'
import { refuseAll, refuseTrue } from './refusals.ts'

/** Where a model runs; `auto` leaves it to the firmware profile. */
type Kind = 'auto' | 'cpu' | 'gpu'

export interface Instances {
  /** 0 where the config does not say. */
  readonly count: number
  readonly kind: Kind
  /** The GPU, where one is named. */
  readonly device: number | undefined
}

const KINDS = { KIND_AUTO: 'auto', KIND_GPU: 'gpu', KIND_CPU: 'cpu', KIND_MODEL: 'model' } as const

const REFUSED = {
  rate_limiter: 'runs are limited by the count alone',
  secondary_devices: 'name the core in the parameters of the accelerator "tensorrt" (trt_dla_core)',
  profile: 'name the shapes in the parameters of the accelerator "tensorrt" (trt_profile_min_shapes, …)',
  host_policy: 'threads and memory belong to no NUMA node',
}

interface Group {
  readonly count: number
  readonly kind: Kind
  readonly devices: readonly number[]
}

/** All groups as one, since one session runs everything: where they differ, they are refused. */
export function readInstances(config: MessageReader): Instances {
  const readers = config.messages('instance_group')
  const groups = readers.map(readGroup)
  const [first] = groups
  const device = first?.devices[0]
  for (const [index, { kind, devices }] of groups.entries()) {
    if (kind !== first?.kind) readers[index]?.refuse('kind', 'has to be the same for all groups')
    if (devices.some((other) => other !== device) || (device !== undefined && devices.length === 0)) {
      readers[index]?.refuse('gpus', 'have to be one and the same GPU in all groups: one serves a model')
    }
  }
  const count = groups.reduce((sum, group) => sum + group.count, 0)
  return { count, kind: first?.kind ?? 'auto', device }
}

function readGroup(group: MessageReader): Group {
  group.text('name')
  const count = group.integer('count', { min: 0, max: 256 }) ?? 1
  const kind = group.choice('kind', KINDS) ?? 'auto'
  const devices = group.integers('gpus', { min: 0, max: 1024 })
  refuseAll(group, REFUSED)
  refuseTrue(group, { passive: 'an instance that takes no requests does nothing here' })
  group.finish()
  if (kind === 'cpu' && devices.length > 0) group.refuse('gpus', 'cannot be with KIND_CPU')
  if (kind === 'model') {
    group.refuse('kind', 'KIND_MODEL is not supported: an ONNX model names no place, expected another')
  }
  // As Triton: nothing, written down, is still one. A group that names a GPU wants it.
  const chosen = kind === 'model' ? 'auto' : kind === 'auto' && devices.length > 0 ? 'gpu' : kind
  return { count: Math.max(1, count), kind: chosen, devices }
}
