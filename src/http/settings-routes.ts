import type { Context } from 'hono'
import type { Lanes } from '../inference/lanes.ts'
import { readJsonObject } from './json-body.ts'
import { LogSettings } from './log-settings.ts'
import type { Route } from './route.ts'
import { TraceSettings } from './trace-settings.ts'

/** Triton's logging and trace extensions; each answers what is set, also to who has just set it. */
export function settingsRoutes({ lanes, bodyBytesMax }: { lanes: Lanes; bodyBytesMax: number }): Route[] {
  const logging = new LogSettings()
  const trace = new TraceSettings()
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
