import type { Context } from 'hono'
import type { ApiGroup } from './restrictions.ts'

export type Handler = (c: Context) => Response | Promise<Response>
export type Method = 'GET' | 'POST'
export type Route = readonly [group: ApiGroup, method: Method, path: string, handler: Handler]
