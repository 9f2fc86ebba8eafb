import { prettifyError, z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Registered, Registration } from './consul.ts'

const ANSWER_MS_MAX = 10_000
const ANSWER_BYTES_MAX = 64 * 1024 ** 2
const COMPLAINT_LENGTH_MAX = 300

const Services = z.record(
  z.string(),
  z.looseObject({ ID: z.string(), Meta: z.record(z.string(), z.string()).nullish() }),
)

/** The HTTP API of a Consul agent, as far as it is asked. */
export class ConsulAgent {
  readonly #url: string
  readonly #token: string | undefined

  constructor({ url, token }: { url: string; token: string | undefined }) {
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
  }

  async services(service: string, signal: AbortSignal): Promise<Registered[]> {
    const query = new URLSearchParams({ filter: `Service == "${service}"` })
    const text = await this.#ask('GET', { path: `/v1/agent/services?${query}`, signal })
    const parsed = Services.safeParse(parseJson(text))
    if (parsed.success)
      return Object.values(parsed.data).map(({ ID, Meta }) => ({ id: ID, meta: Meta ?? {} }))
    throw new EdgeError(
      'peer_failed',
      `Cannot read the services of Consul: ${prettifyError(parsed.error).replaceAll('\n', ' ')}`,
    )
  }

  async register(registration: Registration, signal: AbortSignal): Promise<void> {
    // Without this a check that was made another way before would stay beside the new one.
    const path = '/v1/agent/service/register?replace-existing-checks=true'
    await this.#ask('PUT', { path, signal, body: registration })
  }

  async deregister(id: string, signal: AbortSignal): Promise<void> {
    await this.#ask('PUT', { path: `/v1/agent/service/deregister/${encodeURIComponent(id)}`, signal })
  }

  async #ask(
    method: 'GET' | 'PUT',
    { path, signal, body }: { path: string; signal: AbortSignal; body?: object },
  ): Promise<string> {
    try {
      const answer = await fetch(`${this.#url}${path}`, {
        method,
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
        headers: this.#token === undefined ? {} : { 'X-Consul-Token': this.#token },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      if (answer.ok && text.length <= ANSWER_BYTES_MAX) return text
      const said = answer.ok ? `an answer of ${text.length} bytes` : text.slice(0, COMPLAINT_LENGTH_MAX)
      throw new EdgeError('peer_failed', `Cannot ${method} ${path}: Consul says ${answer.status}, ${said}`)
    } catch (cause) {
      if (cause instanceof EdgeError) throw cause
      throw new EdgeError('peer_failed', `Cannot ${method} ${path}: ${messageOf(cause)}`, { cause })
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
