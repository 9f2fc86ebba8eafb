import type { Context } from 'hono'
import type { Audience, Caller } from './caller.ts'

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'
type Handler = (c: Context, caller: Caller) => Response | Promise<Response>
export type Route = readonly [who: Audience, method: Method, path: string, handler: Handler]
