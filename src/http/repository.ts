import type { Context } from 'hono'
import type { Engine } from '../inference/engine.ts'
import type { LaneStatus } from '../inference/lanes.ts'
import { EdgeError } from '../kit/errors.ts'
import { asObject, type Json } from './fields.ts'
import { readJsonObject } from './json-body.ts'

/** Who brings models from disk into lanes and back: Triton's model control. */
export interface ModelControl {
  /** Reads the model's folder again and loads what its version policy says; the outcome of each version. */
  load(model: string): Promise<readonly LaneStatus[]>
  /** Resolves when the versions take no more requests; those inside are still answered. */
  unload(model: string): Promise<void>
}

/** Parameters of Triton's that are known, and what there is instead. */
const NOT_SUPPORTED = 'a model is loaded as its folder is: put the files and config.toml there'

/** `POST /v2/repository/index`: every version that is known, or with `{"ready": true}` those that are ready. */
export async function answerIndex(c: Context, engine: Engine, bodyBytesMax: number): Promise<Response> {
  const { ready = false } = await readJsonObject(c.req.raw, bodyBytesMax)
  if (typeof ready !== 'boolean') {
    throw new EdgeError(
      'input_invalid',
      `Cannot list models: "ready" is ${JSON.stringify(ready)}, expected true or false`,
    )
  }
  const statuses = engine.lanes.index().filter(({ state }) => !ready || state === 'READY')
  return c.json(statuses.map(indexItem))
}

/** 200 once every version that the policy chooses is ready. */
export async function answerLoad(c: Context, control: ModelControl, bodyBytesMax: number): Promise<Response> {
  const model = c.req.param('model') ?? ''
  const parameters = await readParameters(c.req.raw, bodyBytesMax)
  const [unknown] = Object.keys(parameters)
  if (unknown !== undefined) {
    throw new EdgeError(
      'input_invalid',
      `failed to load '${model}', parameter "${unknown}" is not supported: ${NOT_SUPPORTED}`,
    )
  }
  const failed = (await control.load(model)).filter(({ state, reason }) => state !== 'READY' || reason !== '')
  if (failed.length === 0) return new Response(null, { status: 200 })
  const reasons = failed.map(({ version, reason }) =>
    version === '' ? reason : `version ${version}: ${reason}`,
  )
  throw new EdgeError('input_invalid', `failed to load '${model}', ${reasons.join('; ')}`)
}

/** 200 once the model takes no more requests. */
export async function answerUnload(
  c: Context,
  control: ModelControl,
  bodyBytesMax: number,
): Promise<Response> {
  const model = c.req.param('model') ?? ''
  const { unload_dependents: dependents = false, ...more } = await readParameters(c.req.raw, bodyBytesMax)
  const [unknown] = Object.keys(more)
  if (unknown !== undefined || typeof dependents !== 'boolean') {
    const what = unknown ?? 'unload_dependents'
    throw new EdgeError(
      'input_invalid',
      `failed to unload '${model}', parameter "${what}" is not what it can be: expected unload_dependents true or false`,
    )
  }
  await control.unload(model)
  return new Response(null, { status: 200 })
}

function indexItem({ model, version, state, reason }: LaneStatus) {
  return { name: model, ...(version === '' ? {} : { version }), state, ...(reason === '' ? {} : { reason }) }
}

async function readParameters(request: Request, bodyBytesMax: number): Promise<Json> {
  const { parameters = {} } = await readJsonObject(request, bodyBytesMax)
  return asObject(parameters, '"parameters"')
}
