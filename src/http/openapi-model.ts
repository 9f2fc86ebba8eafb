import type { Lane } from '../inference/lane.ts'
import type { TensorSpec } from '../runtime/backend.ts'
import { elementCount } from '../runtime/datatypes.ts'
import type { Labels } from './classification.ts'
import type { Json } from './fields.ts'
import { arraySchema, hasJsonForm, objectSchema, schemaRef } from './openapi-schemas.ts'

/** A model that is served, as the OpenAPI document has it. */
export interface DescribedModel {
  readonly name: string
  readonly versions: readonly string[]
  /** What its file says of itself; "" for nothing. */
  readonly description: string
  readonly inputs: readonly DescribedTensor[]
  readonly outputs: readonly DescribedTensor[]
}

interface DescribedTensor {
  readonly name: string
  readonly datatype: string
  /** Like "[batch, 3]". */
  readonly shape: string
  readonly is_optional: boolean
  /** The first of the names of its classes. */
  readonly labels: readonly string[]
}

export interface ModelParts {
  readonly lane: Lane
  readonly versions: readonly string[]
  /** 0: the model takes no batches. */
  readonly batchSizeMax: number
  readonly labels: (output: string) => Labels
}

/** Inputs of more elements get no example: nobody reads it, and every reader of the document loads it. */
const EXAMPLE_ELEMENTS_MAX = 2 ** 15
const DESCRIPTION_CHARACTERS_MAX = 2000
const LABELS_MAX = 20

export function describeModel({ lane, versions, batchSizeMax, labels }: ModelParts): DescribedModel {
  const { signature, metadata } = lane.session
  const describe = (spec: TensorSpec, classes: Labels): DescribedTensor => ({
    name: spec.name,
    datatype: spec.datatype,
    shape: describeShape(spec, batchSizeMax),
    is_optional: spec.isOptional,
    labels: classes?.slice(0, LABELS_MAX) ?? [],
  })
  return {
    name: lane.model,
    versions,
    description: metadata.description.slice(0, DESCRIPTION_CHARACTERS_MAX),
    inputs: signature.inputs.map((spec) => describe(spec, undefined)),
    outputs: signature.outputs.map((spec) => describe(spec, labels(spec.name))),
  }
}

/** The protocol's request, narrowed to what this model takes. */
export function requestSchema({ lane, batchSizeMax }: ModelParts): Json {
  const { inputs, outputs } = lane.session.signature
  const required = inputs.filter((spec) => !spec.isOptional)
  const wanted = objectSchema(
    { name: { enum: outputs.map(({ name }) => name) }, parameters: { type: 'object' } },
    ['name'],
  )
  const hasSequences = lane.sequences !== undefined
  return objectSchema(
    {
      id: { type: 'string' },
      parameters: hasSequences ? SEQUENCE_PARAMETERS : { type: 'object' },
      inputs: {
        type: 'array',
        minItems: required.length,
        maxItems: inputs.length,
        ...oneOfItems(inputs.map((spec) => inputSchema(spec, batchSizeMax))),
        ...(required.length === 0 ? {} : { allOf: required.map(containsName) }),
      },
      outputs: { type: 'array', items: wanted },
    },
    hasSequences ? ['parameters', 'inputs'] : ['inputs'],
  )
}

const SEQUENCE_PARAMETERS = objectSchema(
  {
    sequence_id: {
      description: 'The sequence that the request belongs to. An integer may have 64 bits.',
      anyOf: [
        { type: 'integer', minimum: 1 },
        { type: 'string', minLength: 1, maxLength: 128 },
      ],
    },
    sequence_start: { type: 'boolean', description: 'On the first request of a sequence.' },
    sequence_end: { type: 'boolean', description: 'On the last request of a sequence.' },
  },
  ['sequence_id'],
)

/** The protocol's answer, narrowed to what this model gives. */
export function responseSchema({ lane, batchSizeMax }: ModelParts): Json {
  const outputs = lane.session.signature.outputs.map((spec) => outputSchema(spec, batchSizeMax))
  return objectSchema(
    {
      id: { type: 'string' },
      model_name: { const: lane.model },
      model_version: { type: 'string' },
      outputs: { type: 'array', items: { anyOf: [...outputs, schemaRef('ClassifiedOutput')] } },
    },
    ['model_name', 'model_version', 'outputs'],
  )
}

/** A request as small as the model takes: no optional inputs, open dimensions 1. Undefined where JSON cannot be it. */
export function exampleRequest({ lane, batchSizeMax }: ModelParts): Json | undefined {
  const { inputs, outputs } = lane.session.signature
  const required = inputs.filter((spec) => !spec.isOptional)
  const shapes = required.map((spec) => exampleShape(spec, batchSizeMax))
  const elements = shapes.reduce((sum, shape) => sum + elementCount(shape), 0)
  if (elements > EXAMPLE_ELEMENTS_MAX || !required.every(({ datatype }) => hasJsonForm(datatype)))
    return undefined
  const isJsonAnswer = outputs.every(({ datatype }) => hasJsonForm(datatype))
  const parameters = {
    ...(isJsonAnswer ? {} : { binary_data_output: true }),
    // A whole sequence, so that it can be sent as it is.
    ...(lane.sequences === undefined ? {} : { sequence_id: 1, sequence_start: true, sequence_end: true }),
  }
  return {
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    inputs: required.map((spec, index) => exampleInput(spec, shapes[index] ?? [])),
  }
}

function exampleInput({ name, datatype }: TensorSpec, shape: readonly number[]): Json {
  return { name, datatype, shape, data: new Array(elementCount(shape)).fill(exampleValue(datatype)) }
}

/** What a model may look up by it, a table has: zero is the one index that most tables have. */
function exampleValue(datatype: TensorSpec['datatype']): number | string | boolean {
  if (datatype === 'BYTES') return 'text'
  return datatype === 'BOOL' ? false : 0
}

/** Of a rank that is open, one dimension. */
function exampleShape({ shape = [1] }: TensorSpec, batchSizeMax: number): number[] {
  return shape.map((size, axis) => (size === -1 || (axis === 0 && batchSizeMax > 0) ? 1 : size))
}

function inputSchema(spec: TensorSpec, batchSizeMax: number): Json {
  const head = tensorSchemas(spec, batchSizeMax)
  const data = hasJsonForm(spec.datatype) ? { data: arraySchema(spec.datatype, 'nested') } : {}
  const schema = objectSchema({ ...head, parameters: { type: 'object' }, ...data }, Object.keys(head))
  const places = hasJsonForm(spec.datatype) ? ['data', 'parameters'] : ['parameters']
  return {
    title: spec.name,
    description: spec.isOptional ? 'Optional: the model has a value of its own.' : 'Required.',
    ...schema,
    anyOf: places.map((place) => ({ required: [place] })),
  }
}

function outputSchema(spec: TensorSpec, batchSizeMax: number): Json {
  const head = tensorSchemas(spec, batchSizeMax)
  const data = hasJsonForm(spec.datatype) ? { data: arraySchema(spec.datatype, 'flat') } : {}
  const schema = objectSchema({ ...head, parameters: { type: 'object' }, ...data }, Object.keys(head))
  return { title: spec.name, ...schema }
}

function tensorSchemas(spec: TensorSpec, batchSizeMax: number): Json {
  return {
    name: { const: spec.name },
    datatype: { const: spec.datatype },
    shape: shapeSchema(spec, batchSizeMax),
  }
}

function shapeSchema(spec: TensorSpec, batchSizeMax: number): Json {
  const { shape, symbols } = spec
  if (shape === undefined) {
    return { type: 'array', items: { type: 'integer', minimum: 0 }, description: 'Of any rank.' }
  }
  const dimensions = shape.map((size, axis) => {
    if (axis === 0 && batchSizeMax > 0)
      return { type: 'integer', minimum: 1, maximum: batchSizeMax, description: 'The batch.' }
    if (size !== -1) return { const: size }
    const name = symbols[axis] || undefined
    const description = name === undefined ? 'Open: any size.' : `Open: "${name}", any size.`
    return { type: 'integer', minimum: 0, description }
  })
  const exact = { type: 'array', minItems: shape.length, maxItems: shape.length }
  return {
    ...exact,
    ...(dimensions.length === 0 ? {} : { prefixItems: dimensions }),
    description: describeShape(spec, batchSizeMax),
  }
}

function describeShape({ shape, symbols }: TensorSpec, batchSizeMax: number): string {
  if (shape === undefined) return 'any shape'
  const dimensions = shape.map((size, axis) => {
    if (axis === 0 && batchSizeMax > 0) return `1 to ${batchSizeMax}`
    return size === -1 ? symbols[axis] || 'any' : String(size)
  })
  return `[${dimensions.join(', ')}]`
}

function oneOfItems(schemas: readonly Json[]): Json {
  return schemas.length === 0 ? {} : { items: { oneOf: schemas } }
}

function containsName({ name }: TensorSpec): Json {
  return { contains: objectSchema({ name: { const: name } }) }
}
