import type { MessageReader } from './reader.ts'

/** What of Triton's `ModelConfig` cannot be had here, and what can instead. */
const REFUSED: Readonly<Record<string, string>> = {
  model_operations: 'libraries of custom operators are not loaded; use operators that ONNX Runtime has',
  model_repository_agents: 'there are no agents; put the files into the folder as they are to be served',
  model_metrics: 'the metrics are the same for all models',
  metric_tags: 'metrics have the labels model and version, and no others',
  cc_model_filenames: 'one file serves every GPU; name it in default_model_filename',
  batch_input: 'batches are not described to the model',
  batch_output: 'batches are cut along the first dimension only',
}

/** Settings of the whole model that are refused, however they are set. */
export function refuseImpossible(config: MessageReader): void {
  refuseAll(config, REFUSED)
  const policy = config.message('model_transaction_policy')
  if (policy !== undefined) refuseTrue(policy, { decoupled: 'a request has one answer' })
  policy?.finish()
}

/** Refuses each of these fields that is there. */
export function refuseAll(message: MessageReader, reasons: Readonly<Record<string, string>>): void {
  for (const [name, why] of Object.entries(reasons)) {
    if (message.skip(name)) message.refuse(name, `is not supported: ${why}`)
  }
}

/** These may be there as long as they are false, which is what they are without being there. */
export function refuseTrue(message: MessageReader, reasons: Readonly<Record<string, string>>): void {
  for (const [name, why] of Object.entries(reasons)) {
    if (message.boolean(name) === true) message.refuse(name, `cannot be true: ${why}`)
  }
}
