import { createHash, timingSafeEqual } from 'node:crypto'
import { EdgeError } from '../kit/errors.ts'

/** Triton's groups of routes, and one for the metrics. */
export type ApiGroup =
  | 'health'
  | 'metadata'
  | 'inference'
  | 'shared-memory'
  | 'model-config'
  | 'model-repository'
  | 'statistics'
  | 'trace'
  | 'logging'
  | 'metrics'

/** These routes are only for requests with this header. */
export interface Restriction {
  readonly apis: readonly ApiGroup[]
  readonly header: string
  readonly value: string
}

/** Throws when the request may not pass. */
export type Guard = (request: Request) => void

/** Who stands before each group; groups without a guard are open. */
export function createGuards(restrictions: readonly Restriction[]): ReadonlyMap<ApiGroup, Guard> {
  return new Map(
    restrictions.flatMap((restriction) => {
      const guard = createGuard(restriction)
      return restriction.apis.map((group) => [group, guard] as const)
    }),
  )
}

/** Digests are compared: they are of one length, and how long that takes says nothing about the value. */
function createGuard({ header, value }: Restriction): Guard {
  const expected = digest(value)
  return (request) => {
    if (timingSafeEqual(digest(request.headers.get(header) ?? ''), expected)) return
    throw new EdgeError('api_restricted', `This API is restricted, expecting header '${header}'`)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
