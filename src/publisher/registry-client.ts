import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { CHUNK_BYTES_MAX } from '../store/chunks/limits.ts'
import { REFUSALS, type RefusalReason, TrustRefusal } from '../trust/refusal.ts'

export interface RegistryAccess {
  readonly url: string
  /** Undefined: only what everybody may read. */
  readonly apiKey: string | undefined
  /** Of the authority that it is trusted by, as PEM; without one, those that this machine knows. */
  readonly ca?: string | undefined
  readonly clock: Pick<Clock, 'sleep'>
}

/** A bad line is given half a minute to come back; after that the command can be given again, and goes on. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000, 16_000]
const PASSING: ReadonlySet<string> = new Set(['peer_failed', 'queue_full'])

/** Enough for a pack on a line of 200 kbit/s. */
const REQUEST_MS = 600_000
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

const ASSIGNMENT_BYTES_MAX = 512 * 1024

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const Missing = z.object({ missing: z.array(Sha256) })
const MissingTargets = z.object({ missing: z.array(z.string()) })
const Seen = z.object({ version: z.int().min(0) })
const Place = z.object({
  pack: Sha256,
  offset: z.int().min(0),
  stored_bytes: z.int().min(1).max(CHUNK_BYTES_MAX),
  encoding: z.enum(['plain', 'zstd']),
})
const Places = z.object({ places: z.array(Place.nullable()) })

export type Place = z.infer<typeof Place>

/** The registry's HTTP API, as far as the commands of publishers and operators need it. */
export class RegistryClient {
  readonly #base: URL
  readonly #apiKey: string | undefined
  readonly #ca: string | undefined
  readonly #clock: Pick<Clock, 'sleep'>

  constructor({ url, apiKey, ca, clock }: RegistryAccess) {
    this.#ca = ca
    this.#clock = clock
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new EdgeError(
        'input_invalid',
        `Cannot use the registry "${url}": expected a URL like https://registry.example`,
      )
    }
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`)
    this.#apiKey = apiKey
  }

  /** Stands for the registry: scheme, host, port and path. */
  get origin(): string {
    return this.#base.href
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

  /** What of a family's metadata the registry cannot list, by its path: it lacks the bytes. */
  async missingTargets(role: string, bytes: Uint8Array): Promise<readonly string[]> {
    const path = `v1/metadata/${encodeURIComponent(role)}/missing`
    return parse(MissingTargets, await this.#persist(() => this.#ask('POST', path, { body: bytes }))).missing
  }

  /** The highest version of a family's metadata that a device has seen; 0 where none has. */
  async versionSeen(role: string): Promise<number> {
    const path = `v1/metadata/${encodeURIComponent(role)}/seen`
    return parse(Seen, await this.#persist(() => this.#ask('GET', path, {}))).version
  }

  async putObject(bytes: Uint8Array): Promise<void> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await this.#persist(() => this.#ask('PUT', `v1/objects/${sha256}`, { body: bytes }))
  }

  /** The envelope with what a device is to run. */
  async fetchAssignment(device: string): Promise<Uint8Array> {
    const path = `v1/assignments/${encodeURIComponent(device)}`
    const bytes = await this.#get(path, ASSIGNMENT_BYTES_MAX)
    if (bytes !== undefined) return bytes
    throw new EdgeError('input_invalid', `Cannot find what "${device}" is to run: nothing is assigned to it`)
  }

  async missingChunks(sha256s: readonly string[]): Promise<readonly string[]> {
    const body = JSON.stringify({ sha256: sha256s })
    const answer = await this.#persist(() => this.#ask('POST', 'v1/chunks/missing', { body }))
    return parse(Missing, answer).missing
  }

  async postPack(bytes: Uint8Array): Promise<void> {
    await this.#persist(() => this.#ask('POST', 'v1/packs', { body: bytes }))
  }

  /** Where the chunks of an index lie, in order; null: not there. A hint, which every chunk's hash is held against. */
  async places(index: string): Promise<readonly (Place | null)[]> {
    const answer = await this.#persist(() => this.#ask('GET', `v1/indexes/${index}/places`, {}))
    return parse(Places, answer).places
  }

  /** The answer to a question that has a schema of its own. */
  async ask<T>(
    schema: z.ZodType<T>,
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body?: object,
  ): Promise<T> {
    return parse(
      schema,
      await this.#ask(method, path, body === undefined ? {} : { body: JSON.stringify(body) }),
    )
  }

  /** Something whole, by its path. */
  async fetchBytes(path: string, bytesMax: number): Promise<Uint8Array> {
    const bytes = await this.#get(path, bytesMax)
    if (bytes !== undefined) return bytes
    throw new EdgeError('input_invalid', `Cannot find "${path}": the registry has no such thing`)
  }

  /** Bytes of a pack. */
  async fetchRange(pack: string, { start, end }: { start: number; end: number }): Promise<Uint8Array> {
    const path = `v1/packs/${pack}`
    return await this.#persist(async () => {
      const response = await this.#send('GET', path, { range: `bytes=${start}-${end - 1}` })
      if (response.status !== 206) throw await refusalIn(response, path)
      return await readBounded(response, { bytesMax: end - start, what: path })
    })
  }

  async #get(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    return await this.#persist(() => this.#getOnce(path, bytesMax))
  }

  /** For what may be asked twice: everything here is named by its hash, or only read. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (const waitMs of WAITS_MS) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof EdgeError) || !PASSING.has(error.code)) throw error
        await this.#clock.sleep(waitMs)
      }
    }
    return await work()
  }

  async #getOnce(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
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
    return bytes.length === 0 ? undefined : parseJson(bytes)
  }

  async #send(
    method: string,
    path: string,
    { body, range }: { body?: Uint8Array | string; range?: string },
  ): Promise<Response> {
    const headers: Record<string, string> = {
      ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
      ...(range !== undefined && { range }),
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
        ...(this.#ca !== undefined && { tls: { ca: this.#ca } }),
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

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString())
  } catch (cause) {
    throw new EdgeError('peer_failed', `Cannot read the registry's answer: it is no JSON`, { cause })
  }
}

function parse<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  throw new EdgeError('peer_failed', `Cannot read the registry's answer: ${z.prettifyError(parsed.error)}`)
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
  if (response.status === 429) return new EdgeError('queue_full', words)
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
