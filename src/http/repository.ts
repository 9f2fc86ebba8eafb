import type { Context } from 'hono'
import type { Engine } from '../inference/engine.ts'
import type { LaneStatus } from '../inference/lane-table.ts'
import { EdgeError } from '../kit/errors.ts'
import { asObject, type Json } from './fields.ts'
import { readJsonObject } from './json-body.ts'
import { type LoadParameters, readLoadParameters } from './load-parameters.ts'

/** Who brings models from disk into lanes and back: Triton's model control. */
export interface ModelControl {
  /**
   * Reads the model's folder again, or takes what the client says instead of it, and loads what the version policy says;
   * the outcome of each version.
   */
  load(model: string, instead?: LoadParameters): Promise<readonly LaneStatus[]>
  /** Resolves when the versions take no more requests; those inside are still answered. */
  unload(model: string): Promise<void>
}

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
  const instead = readLoadParameters(model, await readParameters(c.req.raw, bodyBytesMax))
  const failed = (await control.load(model, instead)).filter(
    ({ state, reason }) => state !== 'READY' || reason !== '',
  )
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
