import { type MessageReader, textKey } from './reader.ts'
import { DATATYPES } from './tensors.ts'

/** Triton's `ModelWarmup`, as the schema of `[[warmup]]` takes it. Bounds are left to the schema. */
export function readWarmup(message: MessageReader) {
  for (const name of ['name', 'inputs']) if (!message.has(name)) message.refuse(name, 'is missing')
  const inputs = message.entries('inputs', { key: textKey, value: readInput })
  const sample = {
    name: message.text('name') || '?',
    // Nothing is 1, and in Protocol Buffers 0 is nothing.
    batch_size: message.integer('batch_size') || undefined,
    count: message.integer('count') || undefined,
    inputs: Object.fromEntries(inputs),
  }
  message.finish()
  return sample
}

function readInput(entry: MessageReader) {
  const input = entry.message('value')
  if (input === undefined) return undefined
  if (!input.has('data_type')) input.refuse('data_type', 'is missing')
  const dims = input.integers('dims', { min: 1, max: 2 ** 31 - 1 })
  const [zeros, random] = [input.boolean('zero_data'), input.boolean('random_data')]
  const file = input.text('input_data_file') || undefined
  if ([zeros === true, random === true, file !== undefined].filter(Boolean).length !== 1) {
    input.refuse('', 'has to have one of zero_data: true, random_data: true and input_data_file')
  }
  const datatype = input.choice('data_type', DATATYPES) ?? '?'
  input.finish()
  return {
    datatype,
    dims,
    ...(file === undefined ? { content: random === true ? 'random' : 'zeros' } : { file }),
  }
}
