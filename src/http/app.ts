import { type Context, Hono } from 'hono'
import type { Engine } from '../inference/engine.ts'
import type { RequestWatch } from '../inference/request-watch.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Family } from '../kit/metrics-text.ts'
import type { BoardState } from './board-metrics.ts'
import type { Labels } from './classification.ts'
import type { Codec } from './codec.ts'
import { docsRoutes } from './docs-routes.ts'
import { answerGenerate } from './generate.ts'
import { answerInfer } from './infer.ts'
import { createInferMatcher } from './infer-route.ts'
import type { LoopDelay } from './loop-metrics.ts'
import type { MachineSample } from './machine-metrics.ts'
import { modelMetadata, serverMetadata } from './metadata.ts'
import { writeMetrics } from './metrics.ts'
import { answerConfig, type ConfiguredModel } from './model-config.ts'
import { listModels } from './model-list.ts'
import { Refusals } from './refusals.ts'
import { answerIndex, answerLabels, answerLoad, answerUnload, type ModelControl } from './repository.ts'
import { type ApiGroup, createGuards, type Guard, type Restriction } from './restrictions.ts'
import type { Handler, Method, Route } from './route.ts'
import { settingsRoutes } from './settings-routes.ts'
import { sharedMemoryRoutes } from './shared-memory-routes.ts'
import type { SharedRegions } from './shared-regions.ts'
import { modelStatistics } from './statistics.ts'
import type { Tracer } from './tracer.ts'

export interface AppOptions {
  readonly engine: Engine
  readonly serverName: string
  readonly serverVersion: string
  readonly bodyBytesMax: number
  readonly codec: Codec
  readonly control: ModelControl
  readonly loopDelay: () => LoopDelay
  /** Processors, memory and GPUs, as they are when the metrics are asked for. */
  readonly machine: () => Promise<MachineSample>
  /** What the device takes its board for. */
  readonly board: BoardState
  /** False until every model of the folder has been loaded, or has failed to. */
  readonly isStarted: () => boolean
  /** What a model's `config.toml` says under `[client]`. */
  readonly clientHints: (model: string) => unknown
  /** A model's settings; undefined before they have been read. */
  readonly configured: (model: string) => ConfiguredModel | undefined
  /** What the classes of a model's output are called, by index. */
  readonly labels: (model: string, output: string) => Labels
  /** What stands before every path, like "/limpet"; "" for nothing. */
  readonly basePath: string
  readonly restrictions: readonly Restriction[]
  /** Undefined: shared memory is off. */
  readonly regions: SharedRegions | undefined
  readonly tracer: Tracer
  /** Undefined: nobody looks at requests. */
  readonly watch: RequestWatch | undefined
  /** What others have counted. */
  readonly moreMetrics: () => readonly Family[]
}

/** The device's HTTP API: the Open Inference Protocol, in Triton's dialect. */
export function listRoutes(options: AppOptions, refusals: Refusals): Route[] {
  const { engine, control, bodyBytesMax } = options
  const { lanes } = engine
  const named = (c: Context) => ({ model: c.req.param('model') ?? '', version: c.req.param('version') })

  const routes: Route[] = [
    ['health', 'GET', '/v2/health/live', (c) => c.json({ live: true })],
    ['health', 'GET', '/v2/health/ready', (c) => serverReady(c, options)],
    ['metadata', 'GET', '/v2', (c) => c.json(serverMetadata(options))],
    ['model-repository', 'POST', '/v2/repository/index', (c) => answerIndex(c, engine, bodyBytesMax)],
    ['model-repository', 'POST', '/v2/repository/models/:model/load', (c) => answerLoad(c, options)],
    [
      'model-repository',
      'POST',
      '/v2/repository/models/:model/unload',
      (c) => answerUnload(c, control, bodyBytesMax),
    ],
    [
      'model-repository',
      'POST',
      '/v2/repository/models/:model/labels',
      (c) => answerLabels(c, control, bodyBytesMax),
    ],
    ['statistics', 'GET', '/v2/models/stats', (c) => c.json(modelStatistics(lanes.ready()))],
    ...withVersion(['statistics', 'GET', '/v2/models/:model', '/stats'], (c) => {
      const { model, version } = named(c)
      const lane = lanes.find(model, version)
      return c.json(modelStatistics(version === undefined ? lanes.ready(model) : [lane]))
    }),
    ['metadata', 'GET', '/v2/models', (c) => c.json(listModels(lanes.index()))],
    ['metrics', 'GET', '/metrics', () => metricsResponse(options, refusals)],
    ...withVersion(['health', 'GET', '/v2/models/:model', '/ready'], (c) => modelReady(c, options)),
    ...withVersion(['metadata', 'GET', '/v2/models/:model', ''], (c) => {
      const { model, version } = named(c)
      const lane = lanes.find(model, version)
      const versions = version === undefined ? lanes.versions(model) : [lane.version]
      const more = { versions, labels: lanes.labels(model), client: options.clientHints(model) }
      return c.json(modelMetadata(lane, more))
    }),
    ...withVersion(['model-config', 'GET', '/v2/models/:model', '/config'], (c) =>
      answerConfig(c, lanes, options),
    ),
    ...withVersion(['inference', 'POST', '/v2/models/:model', '/infer'], (c) =>
      answerInfer(c.req.raw, named(c), options),
    ),
    ...withVersion(['inference', 'POST', '/v2/models/:model', '/generate'], (c) =>
      answerGenerate(c.req.raw, { ...named(c), isStream: false }, options),
    ),
    ...withVersion(['inference', 'POST', '/v2/models/:model', '/generate_stream'], (c) =>
      answerGenerate(c.req.raw, { ...named(c), isStream: true }, options),
    ),
    ...settingsRoutes({ lanes, bodyBytesMax, tracer: options.tracer }),
    ...sharedMemoryRoutes(options),
    ...docsRoutes(options, () => routes),
  ]
  return routes
}

function createApp(options: AppOptions, refusals: Refusals): Hono {
  const routes = listRoutes(options, refusals)
  const app = new Hono().basePath(options.basePath)
  const guards = createGuards(options.restrictions)
  for (const [group, method, path, handler] of routes)
    app.on(method, path, guarded(guards.get(group), handler))
  for (const path of new Set(routes.map((route) => route[2]))) {
    app.all(path, () => {
      throw new EdgeError('method_not_allowed', 'Method Not Allowed')
    })
  }
  app.notFound(() => refusals.answer(new EdgeError('route_unknown', 'Not Found')))
  app.onError((error) => refusals.answer(error))
  return app
}

function guarded(guard: Guard | undefined, handler: Handler): Handler {
  if (guard === undefined) return handler
  return (c) => {
    guard(c.req.raw)
    return handler(c)
  }
}

/** The same with and without a version in the path. */
function withVersion(
  [group, method, base, rest]: [group: ApiGroup, method: Method, base: string, rest: string],
  handler: Handler,
): Route[] {
  return [base, `${base}/versions/:version`].map((start) => [group, method, `${start}${rest}`, handler])
}

/** All requests: those for an answer of a model straight to it, all others through the router. */
export function createHandler(options: AppOptions): (request: Request) => Response | Promise<Response> {
  const refusals = new Refusals()
  const app = createApp(options, refusals)
  const matchInfer = createInferMatcher(options.basePath)
  // Where a header is asked for, the router does the asking.
  const isOpen = options.restrictions.every(({ apis }) => !apis.includes('inference'))
  return (request) => {
    const route = isOpen && request.method === 'POST' ? matchInfer(request.url) : undefined
    if (route === undefined) return app.fetch(request)
    return answerInfer(request, route, options).catch((error: unknown) => refusals.answer(error))
  }
}

/** The text format of Prometheus, version 0.0.4. */
async function metricsResponse(
  { engine, loopDelay, machine, board, moreMetrics }: AppOptions,
  refusals: Refusals,
): Promise<Response> {
  const now = { loopDelay: loopDelay(), machine: await machine(), more: moreMetrics() }
  const beside = { ...now, board, refusals }
  const text = writeMetrics(engine, beside)
  return new Response(text, { headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' } })
}

/** KServe's SDK reads `ready`, the protocol's text says `live`: both are there. */
function serverReady(c: Context, { engine, isStarted }: AppOptions): Response {
  const isReady = isStarted() && !engine.lanes.isLoading()
  return c.json({ live: true, ready: isReady }, isReady ? 200 : 400)
}

function modelReady(c: Context, { engine }: AppOptions): Response {
  const name = c.req.param('model') ?? ''
  const isReady = engine.lanes.isReady(name, c.req.param('version'))
  return c.json({ name, ready: isReady }, isReady ? 200 : 400)
}
