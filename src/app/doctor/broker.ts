import { messageOf } from '../../kit/errors.ts'
import { type Line, LineRefused, type MqttVersion, openLine } from '../../link/line.ts'
import { readTls } from '../agent/tls.ts'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

export interface BrokerFacts {
  /** Without a password. */
  readonly url: string
  /** What the agent says of its line; undefined: no agent runs. */
  readonly link: 'up' | 'down' | 'unknown' | undefined
  /** Made only where no agent runs: two of one name throw each other off. */
  readonly connect:
    | { readonly ms: number; readonly version: MqttVersion }
    | { readonly problem: string }
    | undefined
}

/** Of the time of a look. */
const CONNECT_SHARE = 0.6
const KEEPALIVE_SECONDS = 30

export async function lookAtBroker(context: Context): Promise<BrokerFacts | undefined> {
  const { enrolment, config, options } = context
  if (enrolment === undefined) return undefined
  const url = config.registry.mqtt_url ?? enrolment.mqtt_url
  const shown = url.replace(/\/\/[^@/]*@/, '//')
  const { isThere, status } = await context.agent()
  if (isThere) return { url: shown, link: status?.link ?? 'unknown', connect: undefined }
  if (options.offline) return { url: shown, link: undefined, connect: undefined }
  return { url: shown, link: undefined, connect: await tryBroker(url, context) }
}

/** Comes as the device and goes at once: no message, no subscription, no will. */
async function tryBroker(
  url: string,
  { enrolment, config, options, clock, signal }: Context,
): Promise<NonNullable<BrokerFacts['connect']>> {
  const tls = await readTls(config.registry).catch(() => ({}))
  const { device = '', secret = '' } = enrolment ?? {}
  const msMax = CONNECT_SHARE * 1000 * options.seconds
  const limited = AbortSignal.any([signal, AbortSignal.timeout(msMax)])
  const open = (version: MqttVersion): Promise<Line> =>
    openLine(
      {
        url,
        clientId: device,
        username: device,
        password: secret,
        tls,
        version,
        keepaliveSeconds: KEEPALIVE_SECONDS,
        will: undefined,
      },
      limited,
    )
  const began = clock.elapsed()
  for (const version of [5, 4] as const) {
    try {
      const line = await open(version)
      const ms = clock.elapsed() - began
      await line.close()
      return { ms, version }
    } catch (error) {
      const isOld = error instanceof LineRefused && error.version !== 'other'
      if (version === 4 || !isOld || limited.aborted)
        return { problem: limited.aborted ? `no answer within ${msMax / 1000} s` : messageOf(error) }
    }
  }
  return { problem: 'it speaks neither MQTT 5 nor 3.1.1' }
}

const { ok, note, warning } = checksOf('broker')

export function judgeBroker(facts: BrokerFacts | undefined): Check[] {
  if (facts === undefined) return []
  const { url, link, connect } = facts
  if (link === 'up') return [ok('link', `the agent's line to ${url} is up`, { facts: { url, link } })]
  if (link === 'down') {
    const fix =
      'what "network" and "registry" say above is the cause, or the broker refuses this device: "limpet device logs", or the log of the agent'
    return [
      warning(
        'link',
        `the agent's line to ${url} is down: models are brought and reported by HTTP, if at all`,
        { fix, facts: { url, link } },
      ),
    ]
  }
  if (link === 'unknown')
    return [
      note('unknown', `${url} was not asked: an agent runs, and whether its line is up it does not say`),
    ]
  if (connect === undefined) return [note('offline', `${url} was not asked: --offline`)]
  if ('problem' in connect)
    return [
      warning('refused', `${url} does not take this device: ${connect.problem}`, {
        fix: 'is the broker running, and does it know the device ("limpet registry broker-config" for Mosquitto)?',
        facts: { url },
      }),
    ]
  const words = connect.version === 5 ? 'MQTT 5' : 'MQTT 3.1.1'
  return [
    ok('connected', `${url} takes this device (${words}, ${Math.round(connect.ms)} ms)`, {
      facts: { url, mqtt: words, took_ms: Math.round(connect.ms) },
    }),
  ]
}
