import { assert } from '../kit/assert.ts'
import { ERROR_CODES, type ErrorCode } from '../kit/errors.ts'
import type { Json } from './fields.ts'
import {
  type DescribedModel,
  describeModel,
  exampleRequest,
  type ModelParts,
  requestSchema,
  responseSchema,
} from './openapi-model.ts'
import { ROUTE_TEXTS, type RouteText } from './openapi-routes.ts'
import { SCHEMAS, schemaRef } from './openapi-schemas.ts'
import type { ApiGroup, Restriction } from './restrictions.ts'
import type { Method } from './route.ts'

export interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly Json[]
  readonly requestBody?: { readonly required: boolean; readonly content: Content }
  readonly responses: Readonly<Record<string, Json>>
  readonly security?: readonly Json[]
  readonly 'x-limpet-model'?: DescribedModel
}

type Content = Readonly<Record<string, { schema: Json; example?: Json | undefined }>>
type PathItem = Partial<Record<'get' | 'post', Operation>>

export interface ApiDocument {
  readonly openapi: '3.1.0'
  readonly info: Json & { readonly title: string; readonly version: string }
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, PathItem>>
  readonly components: Readonly<Record<string, Json>>
}

/** A route without what answers it. */
interface RouteEntry {
  readonly group: ApiGroup
  readonly method: Method
  /** As the router has it: "/v2/models/:model". */
  readonly path: string
}

export interface ApiParts {
  readonly serverName: string
  readonly serverVersion: string
  readonly basePath: string
  readonly restrictions: readonly Restriction[]
  readonly routes: readonly RouteEntry[]
  /** Those that are ready, each in the version that answers when none is named. */
  readonly models: readonly ModelParts[]
}

const VERSION_SEGMENT = '/versions/:version'
const INFER_PATH = '/v2/models/:model/infer'
const BINARY = 'application/octet-stream'
const OPEN_EXAMPLE = 'In the example every open dimension is 1; some models need more there.'

const PARAMETERS: Json = {
  model: pathParameter('model', 'The name of a model.'),
  version: pathParameter('version', 'A version of the model; without one in the path it is the latest.'),
  region: pathParameter('region', 'The name that a client gave to a region of shared memory.'),
  HeaderLength: {
    name: 'Inference-Header-Content-Length',
    in: 'header',
    required: false,
    description: 'Length of the JSON in front of binary data; 0: the body is the data of the only input.',
    schema: { type: 'integer', minimum: 0 },
  },
}

/** The whole API, and what each model takes and gives, as an OpenAPI document. */
export function describeApi(parts: ApiParts): ApiDocument {
  const paths: Record<string, PathItem> = {}
  const add = (path: string, method: Method, operation: Operation) => {
    paths[path] = { ...paths[path], [method === 'GET' ? 'get' : 'post']: operation }
  }
  for (const route of parts.routes)
    add(pathTemplate(route.path), route.method, describeRoute(route, parts.restrictions))
  for (const model of parts.models)
    add(modelPath(model.lane.model), 'POST', describeModelRoute(model, parts.restrictions))
  return {
    openapi: '3.1.0',
    info: {
      title: parts.serverName,
      version: parts.serverVersion,
      description: "The Open Inference Protocol in Triton's dialect, and the models of this server.",
    },
    servers: [{ url: parts.basePath === '' ? '/' : parts.basePath }],
    paths,
    components: {
      schemas: SCHEMAS,
      parameters: PARAMETERS,
      responses: { Error: jsonAnswer('What went wrong', schemaRef('Error')) },
      ...securitySchemes(parts.restrictions),
    },
  }
}

function modelPath(model: string): string {
  return `/v2/models/${encodeURIComponent(model)}/infer`
}

function describeRoute(route: RouteEntry, restrictions: readonly Restriction[]): Operation {
  const text = ROUTE_TEXTS[`${route.method} ${route.path.replace(VERSION_SEGMENT, '')}`]
  assert(text !== undefined, `${route.method} ${route.path} has a text for the API's description`)
  const isInfer = route.path.endsWith('/infer')
  const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '')
  if (isInfer) names.push('HeaderLength')
  return {
    operationId: operationId(route),
    tags: [route.group],
    summary: text.summary,
    ...(names.length === 0 ? {} : { parameters: names.map(parameterRef) }),
    ...requestBody(text, isInfer),
    responses: { ...answers(text, isInfer), ...errorAnswers(text, restricts(restrictions, route.group)) },
    ...security(restrictions, route.group),
  }
}

/** The same as the route of all models, with this one's schemas. */
function describeModelRoute(model: ModelParts, restrictions: readonly Restriction[]): Operation {
  const general = describeRoute({ group: 'inference', method: 'POST', path: INFER_PATH }, restrictions)
  const example = exampleRequest(model)
  const { inputs } = model.lane.session.signature
  const isOpen = example !== undefined && inputs.some(({ shape }) => shape?.includes(-1) ?? true)
  const json = { schema: requestSchema(model), ...(example === undefined ? {} : { example }) }
  return {
    ...general,
    operationId: `infer:${encodeURIComponent(model.lane.model)}`,
    summary: `Ask ${model.lane.model}`,
    ...(isOpen ? { description: OPEN_EXAMPLE } : {}),
    parameters: [parameterRef('HeaderLength')],
    requestBody: { required: true, content: { 'application/json': json, ...BINARY_CONTENT } },
    responses: { ...general.responses, 200: inferAnswer(responseSchema(model)) },
    'x-limpet-model': describeModel(model),
  }
}

const BINARY_CONTENT: Content = {
  [BINARY]: { schema: { description: 'JSON followed by binary data, or the data of the only input alone.' } },
}

function pathTemplate(path: string): string {
  return path.replaceAll(/:(\w+)/g, '{$1}')
}

function operationId({ method, path }: RouteEntry): string {
  const words = path.split('/').filter((word) => word !== '')
  return [method.toLowerCase(), ...words.map((word) => word.replace(':', 'by-'))].join('_')
}

function requestBody({ body }: RouteText, isInfer: boolean): Pick<Operation, 'requestBody'> {
  if (body === undefined) return {}
  const json = { 'application/json': { schema: schemaRef(body.schema) } }
  return {
    requestBody: { required: body.isRequired, content: isInfer ? { ...json, ...BINARY_CONTENT } : json },
  }
}

function answers({ answer, no }: RouteText, isInfer: boolean): Record<string, Json> {
  const refusal: Record<string, Json> =
    no === undefined ? {} : { 400: jsonAnswer('No, or not yet', schemaRef(no.schema)) }
  if (answer === undefined) return { 200: { description: 'Done' } }
  if ('contentType' in answer) {
    return { 200: { description: 'Text', content: { [answer.contentType]: { schema: { type: 'string' } } } } }
  }
  const schema = schemaRef(answer.schema)
  return { 200: isInfer ? inferAnswer(schema) : jsonAnswer('As asked for', schema), ...refusal }
}

function inferAnswer(schema: Json): Json {
  return {
    description: 'The outputs',
    headers: {
      'Inference-Header-Content-Length': {
        description: 'Length of the JSON, where binary data follows it.',
        schema: { type: 'integer', minimum: 0 },
      },
    },
    content: { 'application/json': { schema }, ...BINARY_CONTENT },
  }
}

/** A status each; several codes may share one. */
function errorAnswers({ errors, no }: RouteText, isRestricted: boolean): Record<string, Json> {
  const codes: readonly ErrorCode[] = isRestricted ? [...errors, 'api_restricted'] : errors
  const byStatus = Map.groupBy(new Set(codes), (code) => ERROR_CODES[code].http)
  const each = [...byStatus].filter(([status]) => no === undefined || status !== 400)
  return {
    ...Object.fromEntries(
      each.map(([status, of]) => [status, jsonAnswer(of.join(', '), schemaRef('Error'))]),
    ),
    default: { $ref: '#/components/responses/Error' },
  }
}

function jsonAnswer(description: string, schema: Json): Json {
  return { description, content: { 'application/json': { schema } } }
}

function pathParameter(name: string, description: string): Json {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } }
}

function parameterRef(name: string): Json {
  return { $ref: `#/components/parameters/${name}` }
}

function restricts(restrictions: readonly Restriction[], group: ApiGroup): boolean {
  return restrictions.some(({ apis }) => apis.includes(group))
}

/** Which header a group asks for; never its value. */
function security(restrictions: readonly Restriction[], group: ApiGroup): Pick<Operation, 'security'> {
  const index = restrictions.findLastIndex(({ apis }) => apis.includes(group))
  return index === -1 ? {} : { security: [{ [`restriction-${index}`]: [] }] }
}

function securitySchemes(restrictions: readonly Restriction[]): Record<string, Json> {
  if (restrictions.length === 0) return {}
  const schemes = restrictions.map(({ header }, index) => [
    `restriction-${index}`,
    { type: 'apiKey', in: 'header', name: header },
  ])
  return { securitySchemes: Object.fromEntries(schemes) }
}
