import type { Context } from 'hono'
import type { Engine } from '../inference/engine.ts'
import type { LaneStatus } from '../inference/lane-table.ts'
import type { Lanes } from '../inference/lanes.ts'
import { EdgeError } from '../kit/errors.ts'
import { describeRefusal } from '../runtime/describe-refusal.ts'
import { idleProviders } from '../runtime/idle-providers.ts'
import { readBody } from './body.ts'
import type { Codec } from './codec.ts'
import { asObject, type Json, show } from './fields.ts'
import { readJsonObject } from './json-body.ts'
import type { LoadParameters } from './load-parameters.ts'

/** Who brings models from disk into lanes and back: Triton's model control. */
export interface ModelControl {
  /**
   * Reads the model's folder again, or takes what the client says instead of it, and loads what the version policy says;
   * the outcome of each version.
   */
  load(model: string, instead?: LoadParameters): Promise<readonly LaneStatus[]>
  /** Points labels at versions that are ready, all of them or none; null takes one away. What the labels are then. */
  label(
    model: string,
    labels: Readonly<Record<string, string | null>>,
  ): Promise<Readonly<Record<string, string>>>
  /**
   * Resolves when the versions take no more requests; those inside are still answered. `dependents`: of an ensemble also
   * the models that no other ensemble is made of.
   */
  unload(model: string, also?: { readonly dependents: boolean }): Promise<void>
}

/** `POST /v2/repository/index`: every version that is known, or with `{"ready": true}` those that are ready. */
export async function answerIndex(c: Context, engine: Engine, bodyBytesMax: number): Promise<Response> {
  const { ready = false } = await readJsonObject(c.req.raw, bodyBytesMax)
  if (typeof ready !== 'boolean') {
    throw new EdgeError(
      'input_invalid',
      `Cannot list models: "ready" is ${show(ready)}, expected true or false`,
    )
  }
  const statuses = engine.lanes.index().filter(({ state }) => !ready || state === 'READY')
  return c.json(statuses.map((status) => ({ ...indexItem(status), ...fallbackOf(status, engine.lanes) })))
}

/** A version that is ready, and does not run where it was wanted, says so. */
function fallbackOf(status: LaneStatus, lanes: Lanes): { reason?: string } {
  const { model, version, state, reason } = status
  if (state !== 'READY') return {}
  const { session } = lanes.find(model, version)
  const problems = [
    ...session.refusals.map(describeRefusal),
    ...idleProviders(session).map((provider) => `${provider} runs none of its nodes`),
  ]
  if (problems.length === 0) return {}
  const said = reason === '' ? '' : `${reason}; `
  return { reason: `${said}runs on ${session.providers.join(', ')}; ${problems.join('; ')}` }
}

/** 200 once every version that the policy chooses is ready. */
export async function answerLoad(
  c: Context,
  { control, codec, bodyBytesMax }: { control: ModelControl; codec: Codec; bodyBytesMax: number },
): Promise<Response> {
  const model = c.req.param('model') ?? ''
  const body = await readBody(c.req.raw, bodyBytesMax)
  const instead = await codec.decode('load', { body, model })
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
  await control.unload(model, { dependents })
  return new Response(null, { status: 200 })
}

const LABEL = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** Moves labels like "stable" from version to version: `{"labels": {"stable": "2", "old": null}}`. */
export async function answerLabels(
  c: Context,
  control: ModelControl,
  bodyBytesMax: number,
): Promise<Response> {
  const model = c.req.param('model') ?? ''
  const { labels, ...more } = await readJsonObject(c.req.raw, bodyBytesMax)
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) throw refuseLabels(model, `"${unknown}" is unknown, expected "labels" alone`)
  const wanted = Object.entries(asObject(labels, '"labels"')).map(([label, version]) => {
    if (!LABEL.test(label)) throw refuseLabels(model, `label ${show(label)} has to match ${LABEL.source}`)
    if (version === null || typeof version === 'string') return [label, version] as const
    throw refuseLabels(model, `label "${label}" is ${show(version)}, expected a version in quotes or null`)
  })
  return c.json({ labels: await control.label(model, Object.fromEntries(wanted)) })
}

function refuseLabels(model: string, what: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot label "${model}": ${what}`)
}

function indexItem({ model, version, state, reason }: LaneStatus) {
  return { name: model, ...(version === '' ? {} : { version }), state, ...(reason === '' ? {} : { reason }) }
}

async function readParameters(request: Request, bodyBytesMax: number): Promise<Json> {
  const { parameters = {} } = await readJsonObject(request, bodyBytesMax)
  return asObject(parameters, '"parameters"')
}
