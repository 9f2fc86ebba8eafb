import { EdgeError } from '../kit/errors.ts'
import type { ApiKey, ApiKeys } from './api-keys.ts'
import type { Devices } from './devices.ts'
import type { Session, Sessions } from './session.ts'
import { cookieOf } from './session-cookie.ts'

/** Who asks. */
export type Caller =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'key'; readonly key: ApiKey; readonly session?: Session }
  | { readonly kind: 'device'; readonly device: string }

/**
 * Who may ask: `reader` is any key and any device, `viewer` any key; the others are the role of that name. An admin may
 * do what any key may.
 */
export type Audience = 'anyone' | 'reader' | 'viewer' | 'publisher' | 'operator' | 'admin'

export interface Known {
  readonly keys: ApiKeys
  readonly devices: Devices
  readonly sessions: Sessions
}

/**
 * People and programs send `Authorization: Bearer KEY`, devices `Authorization: Basic` with their id and secret, browsers
 * the cookie of their session. A cookie that is worth nothing is as none: browsers send it whether it is wanted or not.
 */
export function recognise(request: Request, known: Known): Caller {
  const authorization = request.headers.get('authorization')
  if (authorization === null) return recogniseSession(request, known.sessions) ?? { kind: 'anyone' }
  const [scheme = '', credential = ''] = authorization.trim().split(/ +/, 2)
  const caller =
    scheme.toLowerCase() === 'bearer'
      ? recogniseKey(credential, known.keys)
      : scheme.toLowerCase() === 'basic'
        ? recogniseDevice(credential, known.devices)
        : undefined
  if (caller === undefined)
    throw new EdgeError('unauthorized', 'Cannot tell who asks: the credential is unknown or revoked')
  return caller
}

function recogniseSession(request: Request, sessions: Sessions): Caller | undefined {
  const cookie = cookieOf(request.headers)
  const session = cookie === undefined ? undefined : sessions.find(cookie)
  if (session === undefined) return undefined
  if (request.method !== 'GET' && request.headers.get('x-limpet-csrf') !== session.csrf) {
    throw new EdgeError(
      'forbidden',
      'Cannot change anything with the cookie alone: send "X-Limpet-CSRF" with what /console/session gives as "csrf"',
    )
  }
  return { kind: 'key', key: session.key, session }
}

function recogniseKey(text: string, keys: ApiKeys): Caller | undefined {
  const key = keys.find(text)
  return key === undefined ? undefined : { kind: 'key', key }
}

function recogniseDevice(base64: string, devices: Devices): Caller | undefined {
  const [, device = '', secret = ''] = /^([^:]*):(.*)$/.exec(Buffer.from(base64, 'base64').toString()) ?? []
  return devices.isSecretOf(device, secret) ? { kind: 'device', device } : undefined
}

/** Refuses with what would be needed. */
export function admit(caller: Caller, audience: Audience): void {
  if (audience === 'anyone') return
  if (caller.kind === 'anyone') {
    throw new EdgeError(
      'unauthorized',
      `Cannot do this without a credential: send "Authorization: Bearer KEY" with a key of role "${audience}"`,
    )
  }
  if (audience === 'reader') return
  const role = caller.kind === 'key' ? caller.key.role : 'device'
  const isAllowed = role === 'admin' || role === audience || (audience === 'viewer' && caller.kind === 'key')
  if (!isAllowed) {
    throw new EdgeError('forbidden', `Cannot do this as "${role}": it takes a key of role "${audience}"`)
  }
}
