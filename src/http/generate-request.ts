import { mayRound, parseExactJson } from '../kit/exact-json.ts'
import type { Signature, Tensor, TensorSpec } from '../runtime/backend.ts'
import { elementCount } from '../runtime/datatypes.ts'
import { asCount, asObject, asParameters, invalid, type Json, show } from './fields.ts'
import type { DecodedRequest } from './infer-request.ts'
import { decodeJsonData } from './json-tensor.ts'
import { asSequence } from './sequence.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * A body of the generate extension: one flat object whose keys are the names of inputs; what is no input is a
 * parameter, as is all in `parameters`. An input is a value, a list of values, or arrays nested as its shape is.
 */
export function decodeGenerateRequest(
  body: ArrayBuffer,
  lane: { readonly batchSizeMax: number; readonly session: { readonly signature: Signature } },
): DecodedRequest {
  const { inputs: specs } = lane.session.signature
  const text = decodeText(body)
  const root = asObject(parseText(text, specs), 'The request')
  const named = new Map(specs.map((spec) => [spec.name, spec]))
  const inputs = Object.entries(root).flatMap(([name, value]) => {
    const spec = named.get(name)
    return spec === undefined ? [] : [decodeInput(spec, { value, hasBatch: lane.batchSizeMax > 0 })]
  })
  const parameters = readParameters(root, named)
  return {
    id: readId(root, named),
    inputs,
    outputs: undefined,
    isBinaryOutput: false,
    priority: asCount(parameters['priority'], 'priority'),
    timeoutMs: asCount(parameters['timeout'], 'timeout') / 1000,
    sequence: parameters['sequence_id'] === undefined ? undefined : asSequence(parameters, text),
  }
}

function decodeText(body: ArrayBuffer): string {
  try {
    return decoder.decode(body)
  } catch (cause) {
    throw invalid('Cannot parse JSON: the body is not UTF-8', cause)
  }
}

function parseText(text: string, specs: readonly TensorSpec[]): unknown {
  const hasLongs = specs.some(({ datatype }) => datatype.endsWith('INT64'))
  return parseExactJson(text, { keepsIntegers: hasLongs && mayRound(text) })
}

/** An input may be called "id" too: it then is that, and the request has none. */
function readId(root: Json, inputs: ReadonlyMap<string, unknown>): string {
  const id = inputs.has('id') ? '' : (root['id'] ?? '')
  if (typeof id === 'string') return id
  throw invalid(`Cannot decode the request: "id" is ${show(id)}, expected a string`)
}

function readParameters(root: Json, inputs: ReadonlyMap<string, unknown>): Json {
  const others = Object.entries(root).filter(([name]) => !inputs.has(name) && name !== 'id')
  const nested = others.find(([name]) => name === 'parameters')?.[1]
  const flat = Object.fromEntries(others.filter(([name]) => name !== 'parameters'))
  const parameters = { ...asParameters(flat, 'The request'), ...asParameters(nested, 'The request') }
  for (const [name, value] of Object.entries(parameters)) {
    if (typeof value !== 'object') continue
    const known = [...inputs.keys()].map((input) => `"${input}"`).join(', ')
    throw invalid(
      `Cannot decode the request: "${name}" is ${show(value)}, and no input, expected one of ${known} ` +
        'or a parameter that is a string, a number or a boolean',
    )
  }
  return parameters
}

function decodeInput(spec: TensorSpec, given: { value: unknown; hasBatch: boolean }): Tensor {
  const { name, datatype } = spec
  const data = Array.isArray(given.value) ? (given.value as readonly unknown[]) : [given.value]
  const shape = shapeOf(spec, data, given)
  const elements = elementCount(shape)
  return { name, datatype, shape, bytes: decodeJsonData({ input: name, datatype, elements, data }) }
}

/** Nested as deep as the model's shape, the arrays say it themselves; a plain list fills what the model leaves open. */
function shapeOf(
  { name, shape }: TensorSpec,
  data: readonly unknown[],
  { value, hasBatch }: { value: unknown; hasBatch: boolean },
): readonly number[] {
  const own = sizesOf(data)
  if (shape === undefined || own.length > 1) return own
  if (shape.length <= 1 && !(shape.length === 0 && !Array.isArray(value))) return own
  const wanted = hasBatch ? [1, ...shape.slice(1)] : shape
  const known = elementCount(wanted.map((size) => Math.max(1, size)))
  // The last open dimension takes what there is, as a list of words does that is asked with a batch of one.
  const open = wanted.lastIndexOf(-1)
  const filled = wanted.map((size, axis) => (size !== -1 ? size : axis === open ? data.length / known : 1))
  if (filled.every(Number.isInteger) && elementCount(filled) === data.length) return filled
  const expected = `[${shape.join(',')}]`
  throw invalid(
    `Cannot decode input "${name}": a list of ${data.length} does not fill ${expected}, expected arrays nested like that`,
  )
}

/** Of the first element at each depth; that the others are alike is found out when they are decoded. */
function sizesOf(data: readonly unknown[]): number[] {
  const sizes = [data.length]
  for (let first = data[0]; Array.isArray(first); first = first[0]) sizes.push(first.length)
  return sizes
}
