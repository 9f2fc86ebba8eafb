import type { Context } from 'hono'
import { z } from 'zod'
import type { Issued } from './assignments.ts'
import type { Caller } from './caller.ts'
import type { Desired } from './desired-sources.ts'
import type { Devices } from './devices.ts'
import { check, readBytes, readJson } from './request-body.ts'
import { ACTIONS, type Action, acknowledged, failures } from './rollout.ts'
import { MEMBER_STATES } from './rollout-member.ts'
import { RolloutRequest } from './rollout-plan.ts'
import type { Rollout } from './rollout-store.ts'
import type { Rollouts } from './rollouts.ts'
import type { Route } from './route.ts'

export interface RolloutRouteParts {
  readonly rollouts: Rollouts
  readonly desired: Desired
  readonly devices: Devices
  readonly onIssued: (issued: readonly Issued[]) => void
}

const Why = z.strictObject({ reason: z.string().max(500).default('') })

const ListPage = z.strictObject({
  after: z
    .string()
    .regex(/^r-\d{1,9}$/)
    .optional(),
  count: z.coerce.number().int().min(1).max(1000).default(100),
})

const DevicePage = z.strictObject({
  state: z.enum(MEMBER_STATES).optional(),
  after: z.string().max(64).default(''),
  count: z.coerce.number().int().min(1).max(1000).default(100),
})

/** Rollouts: made as drafts, started, watched, steered; and why a device runs what it runs. */
export function rolloutRoutes(parts: RolloutRouteParts): Route[] {
  const { rollouts, desired, devices } = parts
  const idOf = (c: Context) => c.req.param('id') ?? ''
  return [
    [
      'viewer',
      'POST',
      '/v1/rollouts/plan',
      async (c) => c.json(await rollouts.plan(await readJson(c.req.raw, RolloutRequest))),
    ],
    ['operator', 'POST', '/v1/rollouts', (c, caller) => create(c, caller, parts)],
    ['viewer', 'GET', '/v1/rollouts', (c) => list(c, rollouts)],
    [
      'viewer',
      'GET',
      '/v1/rollouts/:id',
      (c) => c.json(describeWhole(rollouts.store.get(idOf(c)), rollouts)),
    ],
    [
      'viewer',
      'GET',
      '/v1/rollouts/:id/devices',
      (c) => {
        const page = check(DevicePage, c.req.query())
        const rows = rollouts.store.devices(idOf(c), { ...page, state: page.state })
        return c.json({
          devices: rows.map((row) => ({ ...row, given: row.given === null ? null : iso(row.given) })),
        })
      },
    ],
    ...ACTIONS.map(
      (action): Route => [
        'operator',
        'POST',
        `/v1/rollouts/:id/${action}`,
        (c, caller) => act(c, caller, { ...parts, action }),
      ],
    ),
    [
      'viewer',
      'GET',
      '/v1/devices/:device/explain',
      (c) => {
        const { id } = devices.get(c.req.param('device') ?? '')
        return c.json({ device: id, models: desired.of(id).explained })
      },
    ],
  ]
}

async function create(c: Context, caller: Caller, { rollouts }: RolloutRouteParts): Promise<Response> {
  const request = await readJson(c.req.raw, RolloutRequest)
  const { rollout, planned } = await rollouts.create(request, keyOf(caller))
  return c.json({ ...describe(rollout, rollouts), plan: planned }, 201)
}

async function act(
  c: Context,
  caller: Caller,
  { rollouts, onIssued, action }: RolloutRouteParts & { action: Action },
): Promise<Response> {
  const id = c.req.param('id') ?? ''
  const bytes = await readBytes(c.req.raw.clone() as Request, 4096)
  const { reason } = bytes.byteLength === 0 ? { reason: '' } : await readJson(c.req.raw, Why)
  const issued = rollouts.act(id, { action, by: keyOf(caller), reason })
  onIssued(issued)
  return c.json(describe(rollouts.store.get(id), rollouts))
}

function list(c: Context, rollouts: Rollouts): Response {
  const { after, count } = check(ListPage, c.req.query())
  const found = rollouts.store.list({ after, count })
  return c.json({ rollouts: found.map((rollout) => describe(rollout, rollouts)) })
}

function keyOf(caller: Caller): string {
  return caller.kind === 'key' ? caller.key.id : ''
}

/** Where it stands, in figures. */
function describe(rollout: Rollout, rollouts: Rollouts): object {
  const { id, model, version, plan, state, wave, since, pausedIn, created, createdBy, approvedBy } = rollout
  const counts = rollouts.store.counts(id, plan.waves.length)
  return {
    id,
    model,
    version,
    previous: plan.previous ?? null,
    selector: plan.selector,
    waves: plan.waves.map((terms, at) => {
      const of = counts[at]
      if (of === undefined) return terms
      const there = Object.entries(of).filter(([, count]) => count > 0)
      const devices = there.reduce((sum, [, count]) => sum + count, 0)
      const figures = {
        devices,
        acknowledged: acknowledged(of),
        committed: of.committed,
        failed: failures(of),
      }
      const { devices: named, ...rest } = terms
      return {
        ...rest,
        ...(named !== undefined && { named: named.length }),
        ...figures,
        states: Object.fromEntries(there),
      }
    }),
    abort: plan.abort,
    limits: plan.limits,
    schedule: plan.schedule ?? null,
    policy: plan.policy ?? null,
    approval: plan.approval,
    state,
    wave,
    since: iso(since),
    paused_in: pausedIn,
    waits_for: rollouts.waitsFor(rollout),
    created: iso(created),
    created_by: createdBy,
    approved_by: approvedBy,
  }
}

function describeWhole(rollout: Rollout, rollouts: Rollouts): object {
  const { store } = rollouts
  return {
    ...describe(rollout, rollouts),
    failures: store.failures(rollout.id),
    transitions: store.transitions(rollout.id).map((one) => ({ ...one, at: iso(one.at) })),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
