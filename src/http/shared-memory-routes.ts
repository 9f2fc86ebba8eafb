import type { Context } from 'hono'
import { invalid } from './fields.ts'
import { readJsonObject } from './json-body.ts'
import type { Handler, Method, Route } from './route.ts'
import { refuseShared, type SharedRegions } from './shared-regions.ts'

/**
 * Triton's shared memory extensions. Of CUDA's there is only what perf_analyzer asks of every server: that there is
 * nothing left of it. So it is with system shared memory where that is off (`regions` is undefined).
 */
export function sharedMemoryRoutes(options: {
  regions: SharedRegions | undefined
  bodyBytesMax: number
}): Route[] {
  const { regions, bodyBytesMax } = options
  const named = (c: Context) => c.req.param('region')
  const refuseCuda = () => {
    throw invalid('Cannot use CUDA shared memory: it is not supported, use system shared memory')
  }
  return [
    ...ofKind('system', {
      status: (c) => c.json(regions?.describe(named(c)) ?? []),
      unregister: (c) => {
        regions?.unregister(named(c))
        return done()
      },
      register: async (c) => {
        if (regions === undefined) throw refuseShared()
        regions.register(named(c) ?? '', await readJsonObject(c.req.raw, bodyBytesMax))
        return done()
      },
    }),
    ...ofKind('cuda', { status: refuseCuda, unregister: done, register: refuseCuda }),
  ]
}

function ofKind(
  kind: 'system' | 'cuda',
  { status, unregister, register }: { status: Handler; unregister: Handler; register: Handler },
): Route[] {
  const base = `/v2/${kind}sharedmemory`
  const route = (method: Method, path: string, handler: Handler): Route => [
    'shared-memory',
    method,
    `${base}${path}`,
    handler,
  ]
  return [
    route('GET', '/status', status),
    route('GET', '/region/:region/status', status),
    route('POST', '/unregister', unregister),
    route('POST', '/region/:region/unregister', unregister),
    route('POST', '/region/:region/register', register),
  ]
}

function done(): Response {
  return new Response(null, { status: 200 })
}
