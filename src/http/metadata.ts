import type { Lane } from '../inference/lane.ts'
import type { TensorSpec } from '../runtime/backend.ts'
import type { SharedRegions } from './shared-regions.ts'

/** Extensions of the Open Inference Protocol that work here, in Triton's spelling. */
const EXTENSIONS = [
  'binary_tensor_data',
  'classification',
  'generate',
  'logging',
  'model_repository',
  'model_repository(unload_dependents)',
  'sequence',
  'sequence(string_id)',
  'statistics',
  'trace',
]

export function serverMetadata(server: {
  serverName: string
  serverVersion: string
  regions: SharedRegions | undefined
}) {
  const extensions = server.regions === undefined ? EXTENSIONS : [...EXTENSIONS, 'system_shared_memory']
  return { name: server.serverName, version: server.serverVersion, extensions }
}

/** `properties` is the protocol's place for what a server adds; `client` there tells `limpet infer` how to ask. */
export function modelMetadata(
  lane: Lane,
  more: { versions: readonly string[]; labels: Readonly<Record<string, string>>; client: unknown },
) {
  const { signature, metadata } = lane.session
  const describe = (spec: TensorSpec) => tensorMetadata(spec, lane.batchSizeMax > 0)
  return {
    name: lane.model,
    versions: more.versions,
    platform: lane.platform,
    inputs: signature.inputs.map(describe),
    outputs: signature.outputs.map(describe),
    properties: {
      ...(Object.keys(more.labels).length === 0 ? {} : { labels: more.labels }),
      ...(more.client === undefined ? {} : { client: more.client }),
      ...(Object.keys(metadata.custom).length === 0 ? {} : { onnx: metadata.custom }),
      providers: lane.session.providers,
      // Null: this library does not tell.
      placement: lane.session.placement ?? null,
    },
  }
}

/** A model that is built for one batch size takes smaller ones all the same: they are filled up. */
function tensorMetadata({ name, datatype, shape = [] }: TensorSpec, hasBatch: boolean) {
  return { name, datatype, shape: hasBatch ? [-1, ...shape.slice(1)] : shape }
}
