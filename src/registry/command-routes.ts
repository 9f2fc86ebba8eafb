import type { Context } from 'hono'
import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { COMMAND_SECONDS_MAX, parseOrder } from '../link/commands.ts'
import type { Caller } from './caller.ts'
import type { Commands, KeptCommand } from './commands.ts'
import type { Devices } from './devices.ts'
import { check, piecesOf, readJson } from './request-body.ts'
import type { Route } from './route.ts'
import type { Uploads } from './uploads.ts'

const COUNT_MAX = 200

export interface CommandRouteParts {
  readonly devices: Devices
  readonly commands: Commands
  readonly uploads: Uploads
  /** Brings what was asked for on its way. */
  readonly onCommand: () => void
}

const Wanted = z.looseObject({
  op: z.string().max(64),
  expires_seconds: z.int().min(1).max(COMMAND_SECONDS_MAX).default(60),
})

const Page = z.strictObject({
  after: z.coerce.number().int().min(0).optional(),
  count: z.coerce.number().int().min(1).max(COUNT_MAX).default(50),
})

/** What is asked of devices, and what they bring for it. */
export function commandRoutes(parts: CommandRouteParts): Route[] {
  const { commands, devices } = parts
  const deviceIn = (c: Context) => devices.get(c.req.param('device') ?? '').id
  return [
    [
      'operator',
      'POST',
      '/v1/devices/:device/commands',
      async (c) => {
        const device = deviceIn(c)
        const { expires_seconds: seconds, ...order } = await readJson(c.req.raw, Wanted)
        const command = commands.create(device, { order: parseOrder(order), seconds })
        parts.onCommand()
        return c.json(describe(command), 201)
      },
    ],
    [
      'viewer',
      'GET',
      '/v1/devices/:device/commands',
      (c) => {
        const { after, count } = check(Page, c.req.query())
        return c.json({ commands: commands.list(deviceIn(c), { after, count }).map(describe) })
      },
    ],
    ['viewer', 'GET', '/v1/commands/:id', (c) => c.json(describe(commands.get(c.req.param('id') ?? '')))],
    ['reader', 'PUT', '/v1/uploads/:id', (c, caller) => takeUpload(c, caller, parts)],
    // What models were given and have answered may be in it: that is not for everybody who may look.
    ['operator', 'GET', '/v1/uploads/:id', (c) => giveUpload(c, parts)],
  ]
}

/** Only from the device that was asked, and only while that has not ended. */
async function takeUpload(
  c: Context,
  caller: Caller,
  { commands, uploads }: CommandRouteParts,
): Promise<Response> {
  if (caller.kind !== 'device')
    throw new EdgeError('forbidden', 'Cannot upload: only the device may that was asked')
  const command = commands.get(c.req.param('id') ?? '')
  if (command.device !== caller.device) {
    throw new EdgeError('forbidden', `Cannot upload for "${command.id}": another device was asked`)
  }
  if (command.state === 'done' || command.state === 'failed') {
    throw new EdgeError('conflict', `Cannot upload for "${command.id}": it is ${command.state}`)
  }
  return c.json(await uploads.put(command.id, piecesOf(c.req.raw)), 201)
}

async function giveUpload(c: Context, { commands, uploads }: CommandRouteParts): Promise<Response> {
  const { id, device, order } = commands.get(c.req.param('id') ?? '')
  const file = await uploads.open(id)
  if (file === undefined) {
    throw new EdgeError('not_found', `Cannot find an upload for "${id}": none has come, or it was too old`)
  }
  return new Response(file, {
    headers: {
      'Content-Type': 'application/octet-stream',
      'Content-Disposition': `attachment; filename="${device}-${order.op}-${id.slice(0, 8)}"`,
    },
  })
}

function describe({
  order: { op, ...given },
  created,
  expires,
  sent,
  ended,
  ...command
}: KeptCommand): object {
  return {
    ...command,
    op,
    given,
    created: timeOf(created),
    expires: timeOf(expires),
    sent: sent === null ? null : timeOf(sent),
    ended: ended === null ? null : timeOf(ended),
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
