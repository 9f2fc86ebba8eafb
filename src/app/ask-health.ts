import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { messageOf } from '../kit/errors.ts'
import { readRestrictions } from './restrictions.ts'

/** Where a server says how it is. */
export interface HealthAddress {
  readonly url: string
  /** A socket in the file system, which counts instead of the URL's host. */
  readonly socket?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** `answer` is what was said, or why nothing was. */
export type Health =
  | { readonly is: 'good' | 'bad'; readonly answer: string }
  | { readonly is: 'silent'; readonly answer: string }

const ANSWER_CHARACTERS_MAX = 500

/** One question, answered within `ms` or not at all. */
export async function askHealth(at: HealthAddress, ms: number): Promise<Health> {
  try {
    const answer = await fetch(at.url, {
      headers: { ...at.headers, connection: 'close' },
      redirect: 'error',
      signal: AbortSignal.timeout(ms),
      ...(at.socket !== undefined && { unix: at.socket }),
    })
    const text = (await answer.text()).slice(0, ANSWER_CHARACTERS_MAX)
    return { is: answer.ok ? 'good' : 'bad', answer: `${answer.status} ${text}`.trim() }
  } catch (error) {
    return { is: 'silent', answer: messageOf(error) }
  }
}

export function healthPath({ http }: Config, question: 'live' | 'ready'): string {
  return `${http.base_path}/v2/health/${question}`
}

/** What the routes of health ask for, where they are restricted. */
export async function healthHeaders({ http }: Config): Promise<Record<string, string>> {
  const restrictions = await readRestrictions(http.restricted)
  const asked = restrictions.filter(({ apis }) => apis.includes('health'))
  return Object.fromEntries(asked.map(({ header, value }) => [header, value]))
}

/** Where `limpet serve` of these settings says so: its socket where it has one, else its port. */
export async function serveHealth(
  config: Config,
  { state, question }: { state: string; question: 'live' | 'ready' },
): Promise<HealthAddress> {
  const { http } = config
  const headers = await healthHeaders(config)
  const path = healthPath(config, question)
  const socket = http.unix_socket ?? join(state, 'serve.sock')
  const isThere = await stat(socket).then(
    (found) => found.isSocket(),
    () => false,
  )
  if (isThere) return { url: `http://localhost${path}`, socket, headers }
  return { url: `http://${reachable(http.host)}:${http.port}${path}`, headers }
}

/** An address that stands for all of them is asked on the machine itself. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
