import { type Context, Hono } from 'hono'
import type { Engine } from '../inference/engine.ts'
import { BugError, EdgeError, ERROR_CODES } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import { answerInfer } from './infer.ts'
import { matchInfer } from './infer-route.ts'
import { modelMetadata, serverMetadata } from './metadata.ts'
import { writeMetrics } from './metrics.ts'
import { modelStatistics } from './statistics.ts'

export interface AppOptions {
  readonly engine: Engine
  readonly serverName: string
  readonly serverVersion: string
  readonly bodyBytesMax: number
  /** False until every model of the folder has been loaded, or has failed to. */
  readonly isStarted: () => boolean
  /** What a model's `config.toml` says under `[client]`. */
  readonly clientHints: (model: string) => unknown
}

type Handler = (c: Context) => Response | Promise<Response>
type Route = readonly ['GET' | 'POST', path: string, handler: Handler]

const RETRY_AFTER_SECONDS = '1'

/** The device's HTTP API: the Open Inference Protocol, in Triton's dialect. All routes are here. */
function createApp(options: AppOptions): Hono {
  const { engine } = options
  const { lanes } = engine
  const named = (c: Context) => ({ model: c.req.param('model') ?? '', version: c.req.param('version') })

  const routes: Route[] = [
    ['GET', '/v2/health/live', (c) => c.json({ live: true })],
    ['GET', '/v2/health/ready', (c) => serverReady(c, options)],
    [
      'GET',
      '/v2',
      (c) => c.json(serverMetadata({ name: options.serverName, version: options.serverVersion })),
    ],
    ['POST', '/v2/repository/index', (c) => c.json(lanes.index().map(indexItem))],
    ['GET', '/v2/models/stats', (c) => c.json(modelStatistics(lanes.ready()))],
    ...withVersion('GET', '/v2/models/:model', '/stats', (c) => {
      const { model, version } = named(c)
      lanes.find(model, version)
      return c.json(modelStatistics(lanes.ready(model, version)))
    }),
    ['GET', '/metrics', () => metricsResponse(engine)],
    ...withVersion('GET', '/v2/models/:model', '/ready', (c) => modelReady(c, options)),
    ...withVersion('GET', '/v2/models/:model', '', (c) => {
      const { model, version } = named(c)
      const lane = lanes.find(model, version)
      const versions = version === undefined ? lanes.versions(model) : [version]
      return c.json(modelMetadata(lane, { versions, client: options.clientHints(model) }))
    }),
    ...withVersion('POST', '/v2/models/:model', '/infer', (c) => answerInfer(c.req.raw, named(c), options)),
  ]

  const app = new Hono()
  for (const [method, path, handler] of routes) app.on(method, path, handler)
  for (const path of new Set(routes.map((route) => route[1]))) {
    app.all(path, () => {
      throw new EdgeError('method_not_allowed', 'Method Not Allowed')
    })
  }
  app.notFound(() => errorResponse(new EdgeError('route_unknown', 'Not Found'), LOG))
  app.onError((error) => errorResponse(error, LOG))
  return app
}

const LOG = logger('http')

/** The same with and without a version in the path. */
function withVersion(method: 'GET' | 'POST', base: string, rest: string, handler: Handler): Route[] {
  return [base, `${base}/versions/:version`].map((start) => [method, `${start}${rest}`, handler])
}

/** All requests: those for an answer of a model straight to it, all others through the router. */
export function createHandler(options: AppOptions): (request: Request) => Response | Promise<Response> {
  const app = createApp(options)
  return (request) => {
    const route = request.method === 'POST' ? matchInfer(request.url) : undefined
    if (route === undefined) return app.fetch(request)
    return answerInfer(request, route, options).catch((error: unknown) => errorResponse(error, LOG))
  }
}

/** The text format of Prometheus, version 0.0.4. */
function metricsResponse(engine: Engine): Response {
  return new Response(writeMetrics(engine), {
    headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' },
  })
}

/** KServe's SDK reads `ready`, the protocol's text says `live`: both are there. */
function serverReady(c: Context, { engine, isStarted }: AppOptions): Response {
  const isReady = isStarted() && engine.lanes.index().every(({ state }) => state !== 'LOADING')
  return c.json({ live: true, ready: isReady }, isReady ? 200 : 400)
}

function modelReady(c: Context, { engine }: AppOptions): Response {
  const name = c.req.param('model') ?? ''
  const isReady = engine.lanes.isReady(name, c.req.param('version'))
  return c.json({ name, ready: isReady }, isReady ? 200 : 400)
}

function indexItem(status: { model: string; version: string; state: string; reason: string }) {
  const { model, version, state, reason } = status
  return { name: model, ...(version === '' ? {} : { version }), state, ...(reason === '' ? {} : { reason }) }
}

/** Every answer but a good one carries `{"error": text}`: clients read it from the body. */
function errorResponse(error: unknown, log: Logger): Response {
  const known = error instanceof EdgeError ? error : undefined
  if (known === undefined) {
    const kind = error instanceof BugError ? 'http.bug' : 'http.unexpected_error'
    log.error(kind, { error: String(error), stack: error instanceof Error ? error.stack : undefined })
  }
  const { http, retry } = known === undefined ? { http: 500, retry: false } : ERROR_CODES[known.code]
  const text = known?.message ?? 'Internal error: see the log'
  return Response.json(
    { error: text },
    { status: http, headers: retry ? { 'Retry-After': RETRY_AFTER_SECONDS } : {} },
  )
}
