import type { Context } from 'hono'
import { prettifyError, ZodError, z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import type { AssignedModels, Assignments, Issued } from './assignments.ts'
import type { Caller } from './caller.ts'
import { DEVICE_ID } from './device-id.ts'
import type { Devices } from './devices.ts'
import type { Published } from './published.ts'
import { readJson } from './request-body.ts'
import type { Route } from './route.ts'

const MODELS_MAX = 256

/** What may stand in policy and schedule is decided where it is signed. */
const Wanted = z.strictObject({
  models: z
    .array(
      z.strictObject({
        model: z.string(),
        version: z.string(),
        policy: z.record(z.string(), z.json()).optional(),
        schedule: z.record(z.string(), z.json()).optional(),
        priority: z.int().optional(),
        allow_downgrade: z.boolean().optional(),
      }),
    )
    .max(MODELS_MAX)
    .refine((models) => new Set(models.map(({ model }) => model.split('/').at(-1))).size === models.length, {
      error: 'two models are served by a device under the same name, the one after the slash',
    }),
})

export interface AssignmentRouteParts {
  readonly assignments: Assignments
  readonly devices: Devices
  readonly published: Published
  /** Told what was issued, so that devices hear of it. */
  readonly onIssued: (issued: readonly Issued[]) => void
}

/** What devices should run: said by operators, fetched by the device that it is for. */
export function assignmentRoutes(parts: AssignmentRouteParts): Route[] {
  const { assignments, devices } = parts
  return [
    ['viewer', 'GET', '/v1/assignments', (c) => c.json({ assignments: assignments.list() })],
    ['reader', 'GET', '/v1/assignments/:target', (c, caller) => answerEnvelope(c, caller, parts)],
    ['operator', 'PUT', '/v1/assignments/:target', (c) => assign(c, parts)],
    [
      'operator',
      'DELETE',
      '/v1/assignments/:target',
      (c) => {
        const { id } = devices.get(c.req.param('target') ?? '')
        const issued = assignments.withdraw(id)
        if (issued !== undefined) parts.onIssued([issued])
        return c.json(issued === undefined ? {} : { rev: issued.rev })
      },
    ],
  ]
}

async function assign(c: Context, parts: AssignmentRouteParts): Promise<Response> {
  const target = c.req.param('target') ?? ''
  if (target !== 'all') parts.devices.get(target)
  const wanted = await readJson(c.req.raw, Wanted)
  const resolved: unknown[] = []
  for (const one of wanted.models) resolved.push({ ...one, ...(await parts.published.resolve(one)) })
  const models = resolved as AssignedModels
  const issued = await signAll(async () =>
    target === 'all' ? await parts.assignments.assignAll(models) : parts.assignments.assign(target, models),
  )
  parts.onIssued(issued)
  const revs = Object.fromEntries(issued.map(({ device, rev }) => [device, rev]))
  return c.json(target === 'all' ? { revs } : { rev: revs[target] })
}

async function signAll<T>(sign: () => Promise<T>): Promise<T> {
  try {
    return await sign()
  } catch (cause) {
    if (!(cause instanceof ZodError)) throw cause
    throw new EdgeError('input_invalid', `Cannot assign: ${prettifyError(cause)}`, { cause })
  }
}

/** A device gets its own and nobody else's: what runs elsewhere is not its business. */
function answerEnvelope(
  c: Context,
  caller: Caller,
  { assignments, devices }: AssignmentRouteParts,
): Response {
  const target = c.req.param('target') ?? ''
  if (caller.kind === 'device' && caller.device !== target) {
    throw new EdgeError('forbidden', `Cannot give the assignment of "${target}" to "${caller.device}"`)
  }
  if (!DEVICE_ID.test(target))
    throw new EdgeError('not_found', `Cannot find device "${target}": none is enrolled so`)
  const issued = assignments.current(devices.get(target).id)
  if (issued === undefined)
    throw new EdgeError('not_found', `Cannot find an assignment for "${target}": nothing was assigned yet`)
  return c.body(Uint8Array.from(issued.envelope), 200, {
    'Content-Type': 'application/json',
    ETag: `"${issued.sha256}"`,
  })
}
