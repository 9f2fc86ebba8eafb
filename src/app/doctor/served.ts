import type { Config } from '../../config/config.ts'
import { readLanes } from '../agent/serve-metrics.ts'
import { serveHealth } from '../ask-health.ts'
import { readRestrictions } from '../restrictions.ts'
import { answerMs, type Context } from './context.ts'
import { describeFailure } from './failure.ts'

/** A version, as the running server tells of it. */
export interface ServedFacts {
  readonly model: string
  readonly version: string
  readonly state: string
  readonly reason: string
  readonly memoryBytes: number | undefined
  readonly providers: readonly string[]
  readonly refused: readonly string[]
  /** Nodes by provider. */
  readonly nodes: Readonly<Record<string, number>>
  readonly requests: number
  readonly errors: number
  readonly notFinite: number
  /** Since its load; undefined: nobody has asked it. */
  readonly meanMs: number | undefined
  readonly p95Ms: number | undefined
  readonly pending: number
}

export interface ServerFacts {
  /** Undefined: nobody answers. */
  readonly served: readonly ServedFacts[] | undefined
  readonly where: string
  readonly problem: string
  /** The service, or an agent, is there: so should this be. */
  readonly isExpected: boolean
  /** The models of a folder are loaded for the look: that nobody serves is no news. */
  readonly isLoading: boolean
}

const P95 = 0.95

/** What serves now, by its own API: nothing is loaded for it. */
export async function lookAtServer(context: Context): Promise<ServerFacts> {
  const { config, state, signal } = context
  const { url, socket } = await serveHealth(config, { state, question: 'live' })
  const where = socket ?? new URL(url).origin
  const headers = await restrictedHeaders(config)
  const ask = async (method: string, path: string): Promise<Response> => {
    const answer = await fetch(`${new URL(url).origin}${config.http.base_path}${path}`, {
      method,
      headers: { ...headers, connection: 'close' },
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs(context.options))]),
      ...(socket !== undefined && { unix: socket }),
    })
    if (!answer.ok) throw new Error(`it answers ${answer.status} to ${method} ${path}`)
    return answer
  }
  const { isThere: isExpected } = await context.agent()
  const isLoading = context.options.models !== undefined
  try {
    const [index, metrics] = await Promise.all([ask('POST', '/v2/repository/index'), ask('GET', '/metrics')])
    const listed = (await index.json()) as Listed[]
    return { served: describe(listed, await metrics.text()), where, problem: '', isExpected, isLoading }
  } catch (error) {
    return { served: undefined, where, problem: describeFailure(error), isExpected, isLoading }
  }
}

async function restrictedHeaders({ http }: Config): Promise<Record<string, string>> {
  const restrictions = await readRestrictions(http.restricted).catch(() => [])
  return Object.fromEntries(restrictions.map(({ header, value }) => [header, value]))
}

interface Listed {
  readonly name: string
  readonly version?: string
  readonly state?: string
  readonly reason?: string
}

export function describe(listed: readonly Listed[], metrics: string): ServedFacts[] {
  const lanes = readLanes(metrics)
  return listed.map(({ name, version = '', state = 'UNAVAILABLE', reason = '' }) => {
    const lane = lanes.find((each) => each.model === name && each.version === version)
    const value = (metric: string, labels?: Readonly<Record<string, string>>) => lane?.value(metric, labels)
    const providersIn = (family: string) =>
      (lane?.samples(family) ?? []).map((sample) => ({
        provider: sample.labels.get('provider') ?? '',
        value: sample.value,
      }))
    const good = value('nv_inference_request_success') ?? 0
    const totalUs = value('nv_inference_request_duration_us') ?? 0
    return {
      model: name,
      version,
      state,
      reason,
      memoryBytes: value('limpet_lane_memory_bytes'),
      providers: providersIn('limpet_lane_provider').map(({ provider }) => provider),
      refused: providersIn('limpet_lane_provider_refused').map(({ provider }) => provider),
      nodes: Object.fromEntries(
        providersIn('limpet_model_nodes').map(({ provider, value: nodes }) => [provider, nodes]),
      ),
      requests: good,
      errors: value('nv_inference_request_failure', { reason: 'BACKEND' }) ?? 0,
      notFinite: value('limpet_inference_not_finite_total') ?? 0,
      meanMs: good === 0 ? undefined : totalUs / good / 1000,
      p95Ms: percentileOf(lane?.buckets('nv_inference_request_duration_histogram_us') ?? []),
      pending: value('nv_inference_pending_request_count') ?? 0,
    }
  })
}

/** A histogram says between which bounds it is; the upper one is told. */
function percentileOf(
  buckets: readonly { readonly upToMs: number; readonly count: number }[],
): number | undefined {
  const total = buckets.at(-1)?.count ?? 0
  if (total === 0) return undefined
  const found = buckets.find(({ count }) => count >= P95 * total)
  return found !== undefined && Number.isFinite(found.upToMs) ? found.upToMs : undefined
}
