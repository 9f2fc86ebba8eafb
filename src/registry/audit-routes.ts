import type { Context } from 'hono'
import { z } from 'zod'
import type { Audit } from './audit.ts'
import { check } from './request-body.ts'
import type { Route } from './route.ts'

const COUNT_MAX = 1000

const Page = z.strictObject({
  after: z.coerce.number().int().min(0).optional(),
  count: z.coerce.number().int().min(1).max(COUNT_MAX).default(100),
  subject: z.string().max(512).optional(),
})

export function auditRoutes({ audit }: { audit: Audit }): Route[] {
  return [['viewer', 'GET', '/v1/audit', (c) => answerAudit(c, audit)]]
}

/** In order; without `after` the newest, so that a reader can begin there and go on. */
function answerAudit(c: Context, audit: Audit): Response {
  const { after, count, subject } = check(Page, c.req.query())
  const entries = audit.list({ after, count, subject })
  return c.json({ entries: entries.map((entry) => ({ ...entry, time: new Date(entry.time).toISOString() })) })
}
