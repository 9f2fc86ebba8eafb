import { rm } from 'node:fs/promises'
import type { Server } from 'bun'
import { z } from 'zod'
import { EdgeError, ERROR_CODES } from '../../kit/errors.ts'
import { listenUnix } from '../listen.ts'
import type { Status } from './status.ts'

/** What a person at the device may ask of the agent. */
export interface Control {
  status(): Promise<Status>
  approve(model: string): void
  retry(model: string): void
  /** For what is assigned, now. */
  look(): void
}

const Order = z.object({ model: z.string().min(1).max(256) })

/** On a socket in the state folder: whoever may write there may steer the agent. */
export async function listenControl(path: string, control: Control): Promise<Server<undefined>> {
  const server = await listenUnix(path, (request) => answer(request, control))
  const stop = server.stop.bind(server)
  return Object.assign(server, {
    stop: async (closesActive?: boolean) => {
      await stop(closesActive)
      await rm(path, { force: true })
    },
  })
}

async function answer(request: Request, control: Control): Promise<Response> {
  const { pathname } = new URL(request.url)
  try {
    if (request.method === 'GET' && pathname === '/status') return Response.json(await control.status())
    if (request.method === 'POST' && pathname === '/approve') control.approve(await modelIn(request))
    else if (request.method === 'POST' && pathname === '/retry') control.retry(await modelIn(request))
    else if (request.method === 'POST' && pathname === '/look') control.look()
    else return Response.json({ error: 'route_unknown', message: `There is no ${pathname}` }, { status: 404 })
    return Response.json({})
  } catch (error) {
    if (!(error instanceof EdgeError)) throw error
    return Response.json(
      { error: error.code, message: error.message },
      { status: ERROR_CODES[error.code].http },
    )
  }
}

async function modelIn(request: Request): Promise<string> {
  const parsed = Order.safeParse(await request.json().catch(() => undefined))
  if (parsed.success) return parsed.data.model
  throw new EdgeError('input_invalid', 'Cannot read the order: expected {"model": "family/name"}')
}
