import type { ErrorCode } from '../kit/errors.ts'

/** What the OpenAPI document says of a route: its text, what it takes, what it answers. */
export interface RouteText {
  readonly summary: string
  /** The schema of its JSON body. */
  readonly body?: { readonly schema: string; readonly isRequired: boolean }
  /** The schema of its JSON answer, another content type, or nothing at all. */
  readonly answer: { readonly schema: string } | { readonly contentType: string } | undefined
  /** Where a "no" looks like the answer, with the status 400. */
  readonly no?: { readonly schema: string }
  readonly errors: readonly ErrorCode[]
}

const BODY: readonly ErrorCode[] = ['input_invalid', 'body_too_large', 'encoding_unsupported']
const LANE: readonly ErrorCode[] = ['model_unknown', 'model_unavailable']

const INFER: readonly ErrorCode[] = [
  ...BODY,
  ...LANE,
  'output_unsupported',
  'queue_full',
  'too_hot',
  'cancelled',
  'runtime_failed',
  'deadline_exceeded',
]

const MODEL: Readonly<Record<string, RouteText>> = {
  'GET /v2/models': { summary: 'All models with their states', answer: { schema: 'ModelList' }, errors: [] },
  'GET /v2/models/stats': {
    summary: 'Statistics of all models',
    answer: { schema: 'ModelStatistics' },
    errors: [],
  },
  'GET /v2/models/:model': { summary: 'Model metadata', answer: { schema: 'ModelMetadata' }, errors: LANE },
  'GET /v2/models/:model/ready': {
    summary: 'Is the model ready?',
    answer: { schema: 'ModelReadiness' },
    no: { schema: 'ModelReadiness' },
    errors: [],
  },
  'GET /v2/models/:model/config': {
    summary: 'Model configuration',
    answer: { schema: 'ModelConfig' },
    errors: LANE,
  },
  'GET /v2/models/:model/stats': {
    summary: 'Statistics of the model',
    answer: { schema: 'ModelStatistics' },
    errors: LANE,
  },
  'POST /v2/models/:model/infer': {
    summary: 'Ask the model',
    body: { schema: 'InferRequest', isRequired: true },
    answer: { schema: 'InferResponse' },
    errors: INFER,
  },
  'POST /v2/models/:model/generate': {
    summary: 'Ask the model in plain JSON: a key for each input, and one for each output',
    body: { schema: 'GenerateRequest', isRequired: true },
    answer: { schema: 'GenerateResponse' },
    errors: INFER,
  },
  'POST /v2/models/:model/generate_stream': {
    summary: 'The same, answered as a server-sent event',
    body: { schema: 'GenerateRequest', isRequired: true },
    answer: { contentType: 'text/event-stream' },
    errors: INFER,
  },
}

const SERVER: Readonly<Record<string, RouteText>> = {
  'GET /v2/health/live': {
    summary: 'Does the server answer?',
    answer: { schema: 'ServerLiveness' },
    errors: [],
  },
  'GET /v2/health/ready': {
    summary: 'Have all models been loaded?',
    answer: { schema: 'ServerReadiness' },
    no: { schema: 'ServerReadiness' },
    errors: [],
  },
  'GET /v2': { summary: 'Server metadata', answer: { schema: 'ServerMetadata' }, errors: [] },
  'GET /v2/openapi.json': {
    summary: 'This API and its models as OpenAPI 3.1',
    answer: { schema: 'OpenApi' },
    errors: [],
  },
  'GET /docs': { summary: 'The same as a page to read', answer: { contentType: 'text/html' }, errors: [] },
  'GET /metrics': { summary: 'Metrics for Prometheus', answer: { contentType: 'text/plain' }, errors: [] },
}

const CONTROL: Readonly<Record<string, RouteText>> = {
  'POST /v2/repository/index': {
    summary: 'Every version of every model with its state',
    body: { schema: 'IndexRequest', isRequired: false },
    answer: { schema: 'RepositoryIndex' },
    errors: BODY,
  },
  'POST /v2/repository/models/:model/load': {
    summary: 'Load a model, or load it anew',
    body: { schema: 'LoadRequest', isRequired: false },
    answer: undefined,
    errors: BODY,
  },
  'POST /v2/repository/models/:model/unload': {
    summary: 'Serve a model no more',
    body: { schema: 'UnloadRequest', isRequired: false },
    answer: undefined,
    errors: BODY,
  },
  'POST /v2/repository/models/:model/labels': {
    summary: 'Point labels like "stable" at versions that are ready; null takes one away',
    body: { schema: 'Labels', isRequired: true },
    answer: { schema: 'Labels' },
    errors: [...BODY, 'model_unknown'],
  },
  ...settings('/v2/logging', { what: 'what is logged', schema: 'LogSettings', errors: [] }),
  ...settings('/v2/trace/setting', {
    what: 'the trace settings',
    schema: 'TraceSettings',
    errors: ['unsupported'],
  }),
  ...settings('/v2/models/:model/trace/setting', {
    what: 'the trace settings of a model',
    schema: 'TraceSettings',
    errors: [...LANE, 'unsupported'],
  }),
}

/** By method and path, without the version where a path has one. */
export const ROUTE_TEXTS: Readonly<Record<string, RouteText>> = {
  ...SERVER,
  ...MODEL,
  ...CONTROL,
  ...sharedMemory('system'),
  ...sharedMemory('cuda'),
}

function settings(
  path: string,
  { what, schema, errors }: { what: string; schema: string; errors: readonly ErrorCode[] },
): Record<string, RouteText> {
  const answer = { schema }
  const body = { schema, isRequired: true }
  return {
    [`GET ${path}`]: {
      summary: `Read ${what}`,
      answer,
      errors: errors.filter((code) => LANE.includes(code)),
    },
    [`POST ${path}`]: { summary: `Change ${what}`, body, answer, errors: [...BODY, ...errors] },
  }
}

function sharedMemory(kind: 'system' | 'cuda'): Record<string, RouteText> {
  const base = `/v2/${kind}sharedmemory`
  const of = kind === 'system' ? 'of shared memory' : 'of CUDA memory (there are none: it is not supported)'
  const status = { answer: { schema: 'SharedMemoryRegions' }, errors: ['input_invalid'] } as const
  const unregister = { answer: undefined, errors: [] } as const
  return {
    [`GET ${base}/status`]: { summary: `All regions ${of}`, ...status },
    [`GET ${base}/region/:region/status`]: { summary: `One of the regions ${of}`, ...status },
    [`POST ${base}/unregister`]: { summary: `Let go of all regions ${of}`, ...unregister },
    [`POST ${base}/region/:region/unregister`]: {
      summary: `Let go of one of the regions ${of}`,
      ...unregister,
    },
    [`POST ${base}/region/:region/register`]: {
      summary: `Register one of the regions ${of}`,
      body: { schema: 'RegisterRequest', isRequired: true },
      answer: undefined,
      errors: BODY,
    },
  }
}
