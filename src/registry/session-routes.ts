import type { Context } from 'hono'
import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import type { ApiKeys } from './api-keys.ts'
import type { Audit } from './audit.ts'
import type { RateLimit } from './rate-limit.ts'
import { readJson } from './request-body.ts'
import type { Route } from './route.ts'
import type { Session, Sessions } from './session.ts'
import { sessionCookie } from './session-cookie.ts'

const Login = z.strictObject({ key: z.string().max(200) })

export interface SessionRouteParts {
  readonly keys: ApiKeys
  readonly sessions: Sessions
  readonly audit: Audit
  readonly loginLimit: RateLimit
  readonly sessionSeconds: number
  readonly addressOf: (request: Request) => string
}

/** A key for a cookie, so that no page has to keep the key. */
export function sessionRoutes(parts: SessionRouteParts): Route[] {
  return [
    ['anyone', 'POST', '/console/login', (c) => login(c, parts)],
    [
      'viewer',
      'GET',
      '/console/session',
      (c, caller) => {
        if (caller.kind !== 'key' || caller.session === undefined) {
          throw new EdgeError('not_found', 'Cannot tell of a session: the key itself was sent')
        }
        return c.json(describe(caller.session), 200, NOT_KEPT)
      },
    ],
    [
      'viewer',
      'POST',
      '/console/logout',
      (c, caller) => {
        if (caller.kind === 'key' && caller.session !== undefined) parts.sessions.close(caller.session.id)
        c.header('Set-Cookie', sessionCookie(c.req.raw, { text: '', seconds: 0 }))
        return c.body(null, 204)
      },
    ],
  ]
}

const NOT_KEPT = { 'Cache-Control': 'no-store' }

async function login(c: Context, parts: SessionRouteParts): Promise<Response> {
  requireOwnPage(c.req.raw)
  const address = parts.addressOf(c.req.raw)
  // Before the key is looked at: who guesses is slowed down, whatever the guess.
  parts.loginLimit.take(address)
  const { key: text } = await readJson(c.req.raw, Login)
  const key = parts.keys.find(text.trim())
  if (key === undefined) {
    throw new EdgeError('unauthorized', 'Cannot log in: the key is unknown or revoked')
  }
  const { audit } = parts
  const number = audit.begin({
    key,
    method: 'POST',
    path: '/console/login',
    subject: '',
    detail: null,
    address,
  })
  const session = parts.sessions.open(key, { seconds: parts.sessionSeconds })
  audit.end(number, { outcome: 'done', subject: undefined })
  c.header('Set-Cookie', sessionCookie(c.req.raw, { text: session.text, seconds: parts.sessionSeconds }))
  return c.json(describe(session), 201, NOT_KEPT)
}

/** Another site must not log a person in as somebody else. Programs and old browsers do not say whose page it is. */
function requireOwnPage(request: Request): void {
  const site = request.headers.get('sec-fetch-site')
  if (site === null || site === 'same-origin') return
  throw new EdgeError('forbidden', `Cannot log in from a page of another site ("${site}")`)
}

function describe({ key, expires, csrf }: Session): object {
  return { name: key.name, role: key.role, key_id: key.id, expires: new Date(expires).toISOString(), csrf }
}
