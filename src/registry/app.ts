import { Hono } from 'hono'
import { BugError, EdgeError, ERROR_CODES } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { type AssignmentRouteParts, assignmentRoutes } from './assignment-routes.ts'
import { auditRoutes } from './audit-routes.ts'
import { audited } from './audited.ts'
import { admit, recognise } from './caller.ts'
import { type CommandRouteParts, commandRoutes } from './command-routes.ts'
import { consoleRoutes } from './console-routes.ts'
import { contentRoutes } from './content-routes.ts'
import { type DeviceParts, deviceRoutes } from './device-routes.ts'
import { type DiscoveryParts, discoveryRoutes } from './discovery-routes.ts'
import { type HealthRouteParts, healthRoutes } from './health-routes.ts'
import { keyRoutes } from './key-routes.ts'
import { type LiveRouteParts, liveRoutes } from './live-routes.ts'
import { type MetadataParts, metadataRoutes } from './metadata-routes.ts'
import type { Objects } from './objects.ts'
import { overviewRoutes } from './overview-routes.ts'
import type { Packs } from './packs.ts'
import { type RolloutRouteParts, rolloutRoutes } from './rollout-routes.ts'
import type { Route } from './route.ts'
import { type SessionRouteParts, sessionRoutes } from './session-routes.ts'
import { tagRoutes } from './tag-routes.ts'
import { versionRoutes } from './version-routes.ts'

export interface RegistryParts
  extends DeviceParts,
    MetadataParts,
    AssignmentRouteParts,
    LiveRouteParts,
    SessionRouteParts,
    CommandRouteParts,
    HealthRouteParts,
    DiscoveryParts,
    RolloutRouteParts {
  readonly objects: Objects
  readonly packs: Packs
}

const LOG = logger('registry')
const RETRY_AFTER_SECONDS = '5'

/** The registry's HTTP API. Who may ask what stands with each route. */
export function listRoutes(parts: RegistryParts): Route[] {
  return [
    ['anyone', 'GET', '/v1/health', (c) => c.json({ live: true })],
    ...metadataRoutes(parts),
    ...contentRoutes(parts),
    ...assignmentRoutes(parts),
    ...deviceRoutes(parts),
    ...tagRoutes(parts),
    ...healthRoutes(parts),
    ...rolloutRoutes(parts),
    ...keyRoutes(parts),
    ...liveRoutes(parts),
    ...discoveryRoutes(parts),
    ...auditRoutes(parts),
    ...sessionRoutes(parts),
    ...commandRoutes(parts),
    ...versionRoutes(parts),
    ...overviewRoutes(parts),
    ...consoleRoutes(),
  ]
}

export function createApp(parts: RegistryParts): Hono {
  const app = new Hono()
  const routes = listRoutes(parts)
  for (const [audience, method, path, handler] of routes) {
    app.on(method, path, async (c) => {
      const caller = recognise(c.req.raw, parts)
      admit(caller, audience)
      return await parts.traffic.time(`${method} ${path}`, () =>
        audited({ c, caller, route: path }, parts, () => handler(c, caller)),
      )
    })
  }
  for (const path of new Set(routes.map((route) => route[2]))) {
    app.all(path, (c) => {
      throw new EdgeError(
        'method_not_allowed',
        `Cannot ${c.req.method} ${c.req.path}: another method is meant`,
      )
    })
  }
  app.notFound((c) => errorResponse(new EdgeError('route_unknown', `Cannot find ${c.req.path}`)))
  app.onError((error) => {
    parts.traffic.noteError(error instanceof EdgeError ? error.code : 'internal')
    return errorResponse(error)
  })
  return app
}

/** Every answer but a good one is `{"error": CODE, "message": TEXT}`. */
function errorResponse(error: unknown): Response {
  if (!(error instanceof EdgeError)) {
    const kind = error instanceof BugError ? 'registry.bug' : 'registry.unexpected_error'
    LOG.error(kind, { error: String(error), stack: error instanceof Error ? error.stack : undefined })
    return Response.json({ error: 'internal', message: 'Internal error: see the log' }, { status: 500 })
  }
  const { http, retry } = ERROR_CODES[error.code]
  return Response.json(
    {
      error: error.code,
      message: error.message,
      ...(error instanceof TrustRefusal && { reason: error.reason }),
    },
    { status: http, headers: retry ? { 'Retry-After': RETRY_AFTER_SECONDS } : {} },
  )
}
