/** The cookie of a session: no script reads it, and no page of another site has it sent. */
const NAME = 'limpet_session'
/** Over TLS: browsers take and send a cookie of such a name over TLS only, and from this host only. */
const SECURE_NAME = '__Host-limpet_session'

/** Of the session, where there is one. */
export function cookieOf(headers: Headers): string | undefined {
  const cookies = new Map(
    (headers.get('cookie') ?? '').split(';').map((pair) => {
      const [name = '', value = ''] = pair.trim().split('=', 2)
      return [name, value]
    }),
  )
  return cookies.get(SECURE_NAME) ?? cookies.get(NAME)
}

/** With 0 seconds the browser forgets it. */
export function sessionCookie(
  request: Request,
  { text, seconds }: { text: string; seconds: number },
): string {
  const isSecure = isOverTls(request)
  const parts = [
    `${isSecure ? SECURE_NAME : NAME}=${text}`,
    'Path=/',
    `Max-Age=${seconds}`,
    'HttpOnly',
    'SameSite=Strict',
  ]
  return [...parts, ...(isSecure ? ['Secure'] : [])].join('; ')
}

/** A proxy that says so is believed: whoever lies gets a stricter cookie and nothing else. */
function isOverTls(request: Request): boolean {
  return (
    new URL(request.url).protocol === 'https:' ||
    request.headers.get('x-forwarded-proto')?.toLowerCase() === 'https'
  )
}
