import { EdgeError } from '../kit/errors.ts'
import type { TensorSpec } from './tensor.ts'
import { quote, quoteSome } from './text.ts'

/** What to write into a model's `config.toml`, for the person who meets a model without it. */
const EXAMPLES = {
  image: 'from = "image"',
  audio: 'from = "audio", sample_rate_hz = …, window_samples = …',
} as const

export function explainMissingHint(kind: 'image' | 'audio', inputs: readonly TensorSpec[]): EdgeError {
  const [first] = inputs
  const name = inputs.length === 1 && first !== undefined ? JSON.stringify(first.name) : 'NAME'
  return new EdgeError(
    'input_invalid',
    `Cannot turn the ${kind} into an input: the model does not say how; its config.toml needs a table ` +
      `[client.inputs.${name}] with ${EXAMPLES[kind]} (inputs: ${describeInputs(inputs)})`,
  )
}

export function explainShape(input: TensorSpec, made: readonly number[], keys: string): EdgeError {
  return new EdgeError(
    'config_invalid',
    `Cannot fill input ${quote(input.name)}: the model takes [${input.shape.join(', ')}], the hints make ` +
      `[${made.join(', ')}]; see ${keys} in [client.inputs.${JSON.stringify(input.name)}] of its config.toml`,
  )
}

export function describeInputs(inputs: readonly TensorSpec[]): string {
  return quoteSome(
    inputs.map(({ name }) => name),
    20,
  )
}
