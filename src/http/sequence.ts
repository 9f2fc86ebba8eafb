import type { SequencePart } from '../inference/sequences/plan.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import { asBoolean, asObject, asParameters, invalid, type Json, show } from './fields.ts'

const UINT64_MAX = 2n ** 64n - 1n
/** As in Triton, in bytes. */
const TEXT_MAX = 128

/** What a request says of its sequence; nothing where its id is 0 or empty. `text` is the JSON that it came in. */
export function asSequence(parameters: Json, text: string): SequencePart | undefined {
  const isStart = asBoolean(parameters['sequence_start'], 'sequence_start') ?? false
  const isEnd = asBoolean(parameters['sequence_end'], 'sequence_end') ?? false
  const id = asSequenceId(parameters['sequence_id'], text)
  return id === '' || id === 0n ? undefined : { id, isStart, isEnd }
}

function asSequenceId(value: unknown, text: string): bigint | string {
  const exact = typeof value === 'number' && !Number.isSafeInteger(value) ? readExactly(text) : value
  if (typeof exact === 'string' && Buffer.byteLength(exact) <= TEXT_MAX) return exact
  const id = typeof exact === 'number' && Number.isSafeInteger(exact) ? BigInt(exact) : exact
  if (typeof id === 'bigint' && id >= 0n && id <= UINT64_MAX) return id
  throw invalid(
    `Cannot decode the request: parameter "sequence_id" is ${show(exact)}, expected an integer of 0 to ${UINT64_MAX} ` +
      `or a string of at most ${TEXT_MAX} bytes`,
  )
}

/** Two ids beyond 2^53 must not become one. Only a request that has such a one pays for the slow reader. */
function readExactly(text: string): unknown {
  const root = asObject(parseExactJson(text, { keepsIntegers: true }), 'The request')
  const parameters = asParameters(root['parameters'], 'The request')
  return parameters['sequence_id'] ?? root['sequence_id']
}
