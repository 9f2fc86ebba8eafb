import { createHash } from 'node:crypto'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { REFUSALS, type RefusalReason, TrustRefusal } from '../trust/refusal.ts'

export interface RegistryAccess {
  readonly url: string
  /** Undefined: only what everybody may read. */
  readonly apiKey: string | undefined
}

const REQUEST_MS = 60_000
const ANSWER_BYTES_MAX = 4 * 1024 * 1024

/** The registry's HTTP API, as far as publishing needs it. */
export class RegistryClient {
  readonly #base: URL
  readonly #apiKey: string | undefined

  constructor({ url, apiKey }: RegistryAccess) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new EdgeError(
        'input_invalid',
        `Cannot use the registry "${url}": expected a URL like https://registry.example`,
      )
    }
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`)
    this.#apiKey = apiKey
  }

  /** Undefined: the registry does not have it. */
  async fetchMetadata(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return await this.#get(`tuf/${encodeURIComponent(name)}`, bytesMax)
  }

  async fetchObject(sha256: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return await this.#get(`v1/objects/${sha256}`, bytesMax)
  }

  async postMetadata(role: string, bytes: Uint8Array): Promise<void> {
    await this.#ask('POST', `v1/metadata/${encodeURIComponent(role)}`, { body: bytes })
  }

  async putObject(bytes: Uint8Array): Promise<void> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await this.#ask('PUT', `v1/objects/${sha256}`, { body: bytes })
  }

  async #get(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const response = await this.#send('GET', path, {})
    if (response.status === 404) {
      await response.body?.cancel()
      return undefined
    }
    if (!response.ok) throw await refusalIn(response, path)
    return await readBounded(response, { bytesMax, what: path })
  }

  async #ask(method: string, path: string, { body }: { body?: Uint8Array | string }): Promise<unknown> {
    const response = await this.#send(method, path, body === undefined ? {} : { body })
    if (!response.ok) throw await refusalIn(response, path)
    const bytes = await readBounded(response, { bytesMax: ANSWER_BYTES_MAX, what: path })
    return bytes.length === 0 ? undefined : JSON.parse(Buffer.from(bytes).toString())
  }

  async #send(method: string, path: string, { body }: { body?: Uint8Array | string }): Promise<Response> {
    const headers: Record<string, string> = {
      ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
      ...(body !== undefined && {
        'content-type': typeof body === 'string' ? 'application/json' : 'application/octet-stream',
      }),
    }
    try {
      return await fetch(new URL(path, this.#base), {
        method,
        headers,
        ...(body !== undefined && { body: body as NonNullable<RequestInit['body']> }),
        signal: AbortSignal.timeout(REQUEST_MS),
        // A key is for one registry: it follows nobody elsewhere.
        redirect: 'error',
      })
    } catch (cause) {
      throw new EdgeError(
        'peer_failed',
        `Cannot reach the registry at ${this.#base.origin}: ${messageOf(cause)}`,
        { cause },
      )
    }
  }
}

/** The whole body, given up as soon as it is more than expected. */
export async function readBounded(
  response: Response,
  { bytesMax, what }: { bytesMax: number; what: string },
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const part of response.body ?? []) {
      length += part.length
      if (length > bytesMax) break
      parts.push(part)
    }
  } catch (cause) {
    throw new EdgeError('peer_failed', `Cannot read "${what}": ${messageOf(cause)}`, { cause })
  }
  if (length > bytesMax) {
    throw new EdgeError('peer_failed', `Cannot read "${what}": the answer has more than ${bytesMax} bytes`)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** What the registry said, under the name that it gave it. */
async function refusalIn(response: Response, path: string): Promise<EdgeError> {
  const bytes = await readBounded(response, { bytesMax: 64 * 1024, what: path })
  const { error, message, reason } = wordsIn(bytes)
  const words = `The registry refused "${path}" with ${response.status}: ${message ?? error ?? 'no words'}`
  const name = [reason, error].find((each) => each !== undefined && Object.hasOwn(REFUSALS, each))
  if (name !== undefined) return new TrustRefusal(name as RefusalReason, words)
  return new EdgeError(response.status < 500 ? 'input_invalid' : 'peer_failed', words)
}

function wordsIn(bytes: Uint8Array): { error?: string; message?: string; reason?: string } {
  try {
    const json: unknown = JSON.parse(Buffer.from(bytes).toString())
    return typeof json === 'object' && json !== null ? json : {}
  } catch {
    return { message: Buffer.from(bytes.subarray(0, 200)).toString() }
  }
}
