import { z } from 'zod'
import type { Devices } from './devices.ts'
import { readJson } from './request-body.ts'
import type { Route } from './route.ts'
import { Tags } from './tags.ts'

const Body = z.strictObject({ tags: Tags })

export function tagRoutes({ devices }: { devices: Devices }): Route[] {
  return [
    [
      'operator',
      'PUT',
      '/v1/devices/:device/tags',
      async (c) => {
        const { tags } = await readJson(c.req.raw, Body)
        devices.tag(c.req.param('device') ?? '', tags)
        return c.json({ tags })
      },
    ],
  ]
}
