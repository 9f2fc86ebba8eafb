import type { Context } from 'hono'
import { EdgeError } from '../kit/errors.ts'
import type { Audit } from './audit.ts'
import { detailOf } from './audit-detail.ts'
import type { Caller } from './caller.ts'

export interface AuditedParts {
  readonly audit: Audit
  readonly addressOf: (request: Request) => string
}

/** Bytes that nothing follows from until metadata is signed that names them, and a question too long for a URL. */
const NO_CHANGE: ReadonlySet<string> = new Set([
  '/v1/objects/:sha256',
  '/v1/packs',
  '/v1/chunks/missing',
  '/v1/metadata/:role/missing',
  '/v1/rollouts/plan',
])
const PATH_LENGTH_MAX = 512

/** Does the work, and where it is a change by somebody with a key, writes that down: before it, and how it ended. */
export async function audited(
  of: { c: Context; caller: Caller; route: string },
  parts: AuditedParts,
  work: () => Response | Promise<Response>,
): Promise<Response> {
  const { c, caller, route } = of
  if (caller.kind !== 'key' || c.req.method === 'GET' || NO_CHANGE.has(route)) return await work()
  const subject = Object.values(c.req.param() as Record<string, string>)[0]
  const number = parts.audit.begin({
    key: caller.key,
    method: c.req.method,
    path: c.req.path.slice(0, PATH_LENGTH_MAX),
    subject: subject?.slice(0, PATH_LENGTH_MAX) ?? '',
    detail: await detailOf(c.req.raw),
    address: parts.addressOf(c.req.raw),
  })
  try {
    const response = await work()
    parts.audit.end(number, {
      outcome: 'done',
      subject: subject === undefined ? await madeBy(response) : undefined,
    })
    return response
  } catch (error) {
    parts.audit.end(number, {
      outcome: error instanceof EdgeError ? error.code : 'internal',
      subject: undefined,
    })
    throw error
  }
}

/** The id of what was made; nothing else of the answer, which may tell a secret once. */
async function madeBy(response: Response): Promise<string | undefined> {
  if (response.status !== 201) return undefined
  const { id } = (await response.clone().json()) as { id?: unknown }
  return typeof id === 'string' ? id : undefined
}
