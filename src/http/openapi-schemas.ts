import { DATATYPES, type Datatype } from '../runtime/datatypes.ts'
import type { Json } from './fields.ts'

/** JSON Schemas of the protocol's objects: `components.schemas` of the OpenAPI document. */

const STRING = { type: 'string' }
const BOOLEAN = { type: 'boolean' }
const COUNT = { type: 'integer', minimum: 0 }
const PARAMETERS = {
  type: 'object',
  description: 'What the extensions add, like binary_data_size or classification.',
}
const FLOAT = {
  type: 'number',
  description: 'In answers also NaN, Infinity and -Infinity, as Triton has them.',
}

/** Datatypes that are not here have no form in JSON, they travel as binary data. */
const ELEMENTS: Partial<Record<Datatype, Json>> = {
  FP16: FLOAT,
  FP32: FLOAT,
  FP64: FLOAT,
  BF16: FLOAT,
  ...integers(8),
  ...integers(16),
  ...integers(32),
  INT64: { type: 'integer', format: 'int64' },
  UINT64: { type: 'integer', format: 'uint64', minimum: 0 },
  BYTES: STRING,
  BOOL: { anyOf: [BOOLEAN, { enum: [0, 1] }] },
}

export function hasJsonForm(datatype: Datatype): boolean {
  return ELEMENTS[datatype] !== undefined
}

export function schemaRef(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

/** Answers are flat; a request may nest its arrays as the shape does. */
export function arraySchema(datatype: Datatype, form: 'flat' | 'nested'): Json {
  return form === 'nested'
    ? schemaRef(`${datatype}_data`)
    : { type: 'array', items: schemaRef(`${datatype}_element`) }
}

export function objectSchema(properties: Json, required: readonly string[] = Object.keys(properties)): Json {
  return { type: 'object', properties, required }
}

function integers(bits: 8 | 16 | 32): Json {
  const half = 2 ** (bits - 1)
  return {
    [`INT${bits}`]: { type: 'integer', minimum: -half, maximum: half - 1 },
    [`UINT${bits}`]: { type: 'integer', minimum: 0, maximum: 2 * half - 1 },
  }
}

function listOf(items: Json): Json {
  return { type: 'array', items }
}

function elementSchemas(): Json {
  return Object.fromEntries(
    Object.entries(ELEMENTS).flatMap(([datatype, element]) => [
      [`${datatype}_element`, element],
      [
        `${datatype}_data`,
        listOf({ anyOf: [schemaRef(`${datatype}_element`), schemaRef(`${datatype}_data`)] }),
      ],
    ]),
  )
}

const STATE = { type: 'string', enum: ['UNKNOWN', 'LOADING', 'READY', 'UNLOADING', 'UNAVAILABLE'] }
const SHAPE = { ...listOf({ type: 'integer', minimum: 0 }), description: 'The size of each dimension.' }
const TENSOR = { name: STRING, datatype: schemaRef('Datatype'), shape: SHAPE }
const DURATION = objectSchema({ count: COUNT, ns: COUNT })

const TENSOR_METADATA = objectSchema({
  name: STRING,
  datatype: schemaRef('Datatype'),
  shape: { ...listOf({ type: 'integer' }), description: '-1 where a dimension is open.' },
})

const INFER: Json = {
  RequestInput: {
    ...objectSchema({ ...TENSOR, parameters: PARAMETERS, data: { type: 'array' } }, Object.keys(TENSOR)),
    description: 'Its elements are in `data`, in the binary part of the body, or in shared memory.',
  },
  RequestOutput: objectSchema({ name: STRING, parameters: PARAMETERS }, ['name']),
  ResponseOutput: objectSchema(
    { ...TENSOR, parameters: PARAMETERS, data: { type: 'array' } },
    Object.keys(TENSOR),
  ),
  ClassifiedOutput: {
    ...objectSchema({
      name: STRING,
      datatype: { const: 'BYTES' },
      shape: SHAPE,
      data: listOf({ type: 'string', description: 'value:index or value:index:label' }),
    }),
    description: 'Of an output that was asked for with the parameter `classification`.',
  },
  InferRequest: objectSchema(
    {
      id: STRING,
      parameters: PARAMETERS,
      inputs: listOf(schemaRef('RequestInput')),
      outputs: { ...listOf(schemaRef('RequestOutput')), description: 'All outputs where it is left out.' },
    },
    ['inputs'],
  ),
  InferResponse: objectSchema(
    {
      id: STRING,
      model_name: STRING,
      model_version: STRING,
      outputs: listOf(schemaRef('ResponseOutput')),
    },
    ['model_name', 'model_version', 'outputs'],
  ),
  GenerateRequest: {
    ...objectSchema({ id: STRING, parameters: PARAMETERS }, []),
    description: 'A key for each input: a value, a list of values, or arrays nested as its shape is.',
  },
  GenerateResponse: {
    ...objectSchema({ id: STRING, model_name: STRING, model_version: STRING }, [
      'model_name',
      'model_version',
    ]),
    description: 'And a key for each output: a value, or a list of values row by row.',
  },
}

const MODELS: Json = {
  ServerMetadata: objectSchema({ name: STRING, version: STRING, extensions: listOf(STRING) }),
  ServerReadiness: objectSchema({ live: BOOLEAN, ready: BOOLEAN }),
  ServerLiveness: objectSchema({ live: BOOLEAN }),
  ModelReadiness: objectSchema({ name: STRING, ready: BOOLEAN }),
  ModelMetadata: objectSchema({
    name: STRING,
    versions: listOf(STRING),
    platform: STRING,
    inputs: listOf(TENSOR_METADATA),
    outputs: listOf(TENSOR_METADATA),
    properties: { type: 'object' },
  }),
  ModelList: objectSchema({
    models: listOf(
      objectSchema(
        {
          name: STRING,
          versions: listOf(
            objectSchema({ version: STRING, state: STATE, reason: STRING }, ['version', 'state']),
          ),
          state: STATE,
          reason: STRING,
        },
        ['name', 'versions'],
      ),
    ),
  }),
  ModelConfig: { type: 'object', description: "Triton's ModelConfig, as it writes it in JSON." },
  ModelStatistics: objectSchema({
    model_stats: listOf(
      objectSchema(
        {
          name: STRING,
          version: STRING,
          last_inference: COUNT,
          inference_count: COUNT,
          execution_count: COUNT,
          inference_stats: { type: 'object', additionalProperties: DURATION },
          batch_stats: listOf({ type: 'object' }),
        },
        ['name', 'version'],
      ),
    ),
  }),
}

const CONTROL: Json = {
  IndexRequest: objectSchema({ ready: BOOLEAN }, []),
  RepositoryIndex: listOf(
    objectSchema({ name: STRING, version: STRING, state: STATE, reason: STRING }, ['name', 'state']),
  ),
  LoadRequest: objectSchema({ parameters: PARAMETERS }, []),
  UnloadRequest: objectSchema({ parameters: objectSchema({ unload_dependents: BOOLEAN }, []) }, []),
  Labels: objectSchema({ labels: { type: 'object' } }),
  LogSettings: objectSchema(
    {
      log_file: STRING,
      log_info: BOOLEAN,
      log_warning: BOOLEAN,
      log_error: BOOLEAN,
      log_verbose_level: COUNT,
      log_format: STRING,
    },
    [],
  ),
  TraceSettings: {
    type: 'object',
    additionalProperties: { anyOf: [STRING, listOf(STRING), { type: 'null' }] },
  },
  SharedMemoryRegions: listOf(objectSchema({ name: STRING, key: STRING, offset: COUNT, byte_size: COUNT })),
  RegisterRequest: objectSchema({ key: STRING, offset: COUNT, byte_size: COUNT }, ['key', 'byte_size']),
  OpenApi: { type: 'object', description: 'A document like this one.' },
}

export const SCHEMAS: Json = {
  Error: {
    ...objectSchema({ error: STRING }),
    description: 'What every answer but a good one carries: what was tried, what is, what would be right.',
  },
  Datatype: { type: 'string', enum: Object.keys(DATATYPES) },
  ...elementSchemas(),
  ...INFER,
  ...MODELS,
  ...CONTROL,
}
