import { z } from 'zod'
import { type ApiKeys, ROLES } from './api-keys.ts'
import { readJson } from './request-body.ts'
import type { Route } from './route.ts'

const NewKey = z.strictObject({
  name: z.string().min(1).max(100),
  role: z.enum(ROLES),
})

export function keyRoutes({ keys }: { keys: ApiKeys }): Route[] {
  return [
    ['admin', 'GET', '/v1/keys', (c) => c.json({ keys: keys.list() })],
    [
      'admin',
      'POST',
      '/v1/keys',
      async (c) => {
        const { text, ...key } = keys.create(await readJson(c.req.raw, NewKey))
        return c.json({ ...key, key: text }, 201)
      },
    ],
    [
      'admin',
      'DELETE',
      '/v1/keys/:id',
      (c) => {
        keys.revoke(c.req.param('id') ?? '')
        return c.body(null, 204)
      },
    ],
  ]
}
