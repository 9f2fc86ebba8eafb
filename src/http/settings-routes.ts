import type { Context } from 'hono'
import type { Lanes } from '../inference/lanes.ts'
import { readJsonObject } from './json-body.ts'
import { LogSettings } from './log-settings.ts'
import type { Route } from './route.ts'
import type { Tracer } from './tracer.ts'

/** Triton's logging and trace extensions; each answers what is set, also to who has just set it. */
export function settingsRoutes(options: { lanes: Lanes; bodyBytesMax: number; tracer: Tracer }): Route[] {
  const { lanes, bodyBytesMax, tracer: trace } = options
  const logging = new LogSettings()
  const read = (c: Context) => readJsonObject(c.req.raw, bodyBytesMax)
  const known = (c: Context) => {
    const model = c.req.param('model') ?? ''
    lanes.find(model, undefined)
    return model
  }
  return [
    ['logging', 'GET', '/v2/logging', (c) => c.json(logging.describe())],
    [
      'logging',
      'POST',
      '/v2/logging',
      async (c) => {
        logging.update(await read(c))
        return c.json(logging.describe())
      },
    ],
    ['trace', 'GET', '/v2/trace/setting', (c) => c.json(trace.describe())],
    [
      'trace',
      'POST',
      '/v2/trace/setting',
      async (c) => {
        trace.update(await read(c))
        return c.json(trace.describe())
      },
    ],
    ['trace', 'GET', '/v2/models/:model/trace/setting', (c) => c.json(trace.describe(known(c)))],
    [
      'trace',
      'POST',
      '/v2/models/:model/trace/setting',
      async (c) => {
        const model = known(c)
        trace.update(await read(c), model)
        return c.json(trace.describe(model))
      },
    ],
  ]
}
