import { readEnvironment } from '../config/environment.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { readEnrolment } from './agent/enrolment.ts'
import { Status } from './agent/status.ts'
import { agentSocketOf } from './agent.ts'

const ANSWER_MS_MAX = 10_000

export interface StatusOptions {
  readonly state: string | undefined
  readonly json: boolean
}

/** `limpet status`: what runs on this device, what is on its way, and what stood in the way. */
export async function runStatus(
  { state, json }: StatusOptions,
  print: (line: string) => void,
): Promise<void> {
  const status = Status.parse(await askAgent(state, 'GET', '/status'))
  if (json) print(JSON.stringify(status, undefined, 2))
  else for (const line of describeStatus(status)) print(line)
}

/** `limpet approve`, `limpet retry`. */
export async function orderAgent(
  order: 'approve' | 'retry',
  { state, model }: { state: string | undefined; model: string },
): Promise<void> {
  await askAgent(state, 'POST', `/${order}`, { model })
}

/** Has a running agent look for what is assigned at once; false where none runs. */
export async function wakeAgent(state: string | undefined): Promise<boolean> {
  try {
    await askAgent(state, 'POST', '/look')
    return true
  } catch (error) {
    if (error instanceof EdgeError && error.code === 'peer_failed') return false
    throw error
  }
}

async function askAgent(
  state: string | undefined,
  method: string,
  path: string,
  body?: object,
): Promise<unknown> {
  const folder = state ?? readEnvironment().state
  const answer = await fetch(`http://localhost${path}`, {
    method,
    unix: agentSocketOf(folder),
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  } as RequestInit).catch(async (cause: unknown) => {
    const isEnrolled = (await readEnrolment(folder)) !== undefined
    const why = isEnrolled
      ? 'start it with "limpet up"'
      : `"${folder}" holds no enrolment; run "limpet enrol --registry URL --token TOKEN"`
    throw new EdgeError('peer_failed', `Cannot ask the agent: ${messageOf(cause)}; ${why}`, { cause })
  })
  const json = (await answer.json()) as { message?: string }
  if (answer.ok) return json
  throw new EdgeError('input_invalid', json.message ?? `The agent answers ${answer.status}`)
}

function describeStatus(status: Status): string[] {
  const { trust } = status
  return [
    `device "${status.device}" of ${status.registry}: line ${status.link}, assignment ${status.rev}, limpet ${status.limpet}`,
    trust === null
      ? 'trust: not refreshed since the start'
      : `trust: root ${trust.root}, timestamp ${trust.timestamp}, snapshot ${trust.snapshot}, until ${trust.expires} by the ${trust.time_source}`,
    ...status.alerts.map(({ severity, message, since }) => `${severity}: ${message}, since ${since}`),
    ...status.sources_skipped.map(
      ({ source, skipped, reason }) => `not measured: ${source}, ${skipped} times: ${reason}`,
    ),
    ...(status.models.length === 0 ? ['no model is assigned'] : status.models.flatMap(describeModel)),
    ...status.quarantine.map(
      ({ model, version, sha256, code, reason }) =>
        `quarantine: ${model} ${version} (${sha256.slice(0, 12)}): ${code}: ${reason}`,
    ),
    ...status.events.map(
      ({ time, model, version, from, to, code, reason }) =>
        `  ${time}  ${model} ${version} ${from} → ${to}${code === '' ? '' : `  ${code}: ${reason}`}`,
    ),
  ]
}

function describeModel({ model, running, assigned, update }: Status['models'][number]): string[] {
  const serves =
    running === null ? 'nothing serves' : `serves ${running.version} (${running.sha256.slice(0, 12)})`
  const lines = [
    `${model}: ${serves}${assigned === null ? ', nothing is assigned' : `, assigned ${assigned.version}`}`,
  ]
  if (update === null) return lines
  const percent = update.percent === null ? '' : ` ${update.percent} %`
  const waits = update.waits_for === '' ? '' : `, waits for: ${update.waits_for}`
  const why = update.code === '' ? '' : `, ${update.code}: ${update.reason}`
  return [
    ...lines,
    `  update to ${update.version}: ${update.state}${percent}${waits}${why}, since ${update.since}`,
  ]
}
