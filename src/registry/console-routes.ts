import { gzipSync } from 'node:zlib'
import type { Context } from 'hono'
import { consoleAssets } from '../console/assets.ts'
import { documentOf, ICON } from '../console/document.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Route } from './route.ts'

/** Addresses of the console's pages: each answers the same document, whose script looks at the address. */
const PAGES = [
  '/',
  '/devices/:device',
  '/models',
  '/models/:family/:name',
  '/rollouts',
  '/rollouts/:id',
  '/audit',
  '/alerts',
  '/access',
] as const

/** Nothing from elsewhere, nothing in line, and in nobody's frame. */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

/** The name of a file holds the hash of what is in it. */
const FOR_GOOD = 'public, max-age=31536000, immutable'

interface Served {
  readonly type: string
  readonly cache: string
  readonly plain: Uint8Array<ArrayBuffer>
  readonly gzip: Uint8Array<ArrayBuffer>
}

/** The web console: one document, one script, one style, an icon. */
export function consoleRoutes(): Route[] {
  let loaded: Promise<ReadonlyMap<string, Served>> | undefined
  const answer = async (c: Context, name: string) => {
    loaded ??= load()
    const file = (await loaded).get(name)
    if (file === undefined)
      throw new EdgeError('not_found', `Cannot find "${c.req.path}": the console has no such file`)
    return respond(c.req.raw, file)
  }
  const page: Route[3] = (c) => answer(c, '')
  return [
    ...PAGES.map((path): Route => ['anyone', 'GET', path, page]),
    ['anyone', 'GET', '/assets/:file', (c) => answer(c, c.req.param('file') ?? '')],
  ]
}

async function load(): Promise<ReadonlyMap<string, Served>> {
  const assets = await consoleAssets()
  return new Map([
    ['', serve({ type: 'text/html; charset=utf-8', text: documentOf(assets), cache: 'no-cache' })],
    ['icon.svg', serve({ type: 'image/svg+xml', text: ICON, cache: 'no-cache' })],
    ...assets.map((asset) => [asset.name, serve({ ...asset, cache: FOR_GOOD })] as const),
  ])
}

function serve({ type, text, cache }: { type: string; text: string; cache: string }): Served {
  const plain = new TextEncoder().encode(text)
  return { type, cache, plain, gzip: Uint8Array.from(gzipSync(plain)) }
}

function respond(request: Request, { type, cache, plain, gzip }: Served): Response {
  const takesGzip = /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '')
  return new Response(takesGzip ? gzip : plain, {
    headers: {
      ...HEADERS,
      'Content-Type': type,
      'Cache-Control': cache,
      Vary: 'Accept-Encoding',
      ...(takesGzip && { 'Content-Encoding': 'gzip' }),
    },
  })
}
