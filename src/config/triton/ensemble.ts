import type { MessageReader } from './reader.ts'

/** Triton's `ModelEnsembling`, as the schema of `[ensemble]` takes it. */
export function readEnsemble(message: MessageReader | undefined) {
  if (message === undefined) return undefined
  const steps = message.messages('step').map(readStep)
  // Of each step, for each request. A request has one in each, so every bound is kept.
  message.integer('max_inflight_requests', { min: 0, max: 2 ** 32 - 1 })
  message.finish()
  return { steps }
}

function readStep(step: MessageReader) {
  if (!step.has('model_name')) step.refuse('model_name', 'is missing')
  const version = step.integer('model_version', { min: -1, max: Number.MAX_SAFE_INTEGER }) ?? -1
  if ((step.text('model_namespace') ?? '') !== '') {
    step.refuse('model_namespace', 'is not supported: names of models are unique here; leave it out')
  }
  const settings = {
    model: step.text('model_name') ?? '?',
    // Nothing is 0 in Protocol Buffers, and no version.
    version: version > 0 ? String(version) : undefined,
    inputs: readMap(step, 'input_map'),
    outputs: readMap(step, 'output_map'),
  }
  step.finish()
  return settings
}

function readMap(step: MessageReader, name: string): Record<string, string> {
  return Object.fromEntries([...step.texts(name)].map(([key, { text }]) => [key, text]))
}
