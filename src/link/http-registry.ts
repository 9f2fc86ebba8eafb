import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Tls } from './line.ts'

export interface HttpRegistryOptions {
  /** Where the registry's API is: `http://host:port` or `https://host:port`. */
  readonly url: string
  readonly device: string
  readonly secret: string
  readonly tls: Tls
}

/** From the question to the first byte, and between two pieces of a body. */
const SILENCE_MS_MAX = 30_000
/** A slow line takes its time for what a command brings. */
const PUT_MS_MAX = 300_000
const PLACES_BYTES_MAX = 64 * 1024 ** 2

const Place = z
  .object({
    pack: z.string().regex(/^[0-9a-f]{64}$/),
    offset: z
      .int()
      .min(0)
      .max(2 ** 32),
    stored_bytes: z
      .int()
      .min(1)
      .max(2 ** 24),
    encoding: z.enum(['plain', 'zstd']),
  })
  .nullable()
const Places = z.object({ places: z.array(Place) })
/** Where a stored chunk is said to lie; null: the registry does not have it. */
export type Place = z.infer<typeof Place>

/** The registry's HTTP API, as far as a device asks it. */
export class HttpRegistry {
  readonly #url: string
  readonly #headers: Record<string, string>
  readonly #tls: Tls

  constructor({ url, device, secret, tls }: HttpRegistryOptions) {
    this.#url = url.replace(/\/+$/, '')
    this.#headers = { authorization: `Basic ${Buffer.from(`${device}:${secret}`).toString('base64')}` }
    this.#tls = tls
  }

  /** One small thing; undefined: there is none. */
  async fetchWhole(
    path: string,
    options: { bytesMax: number; signal: AbortSignal },
  ): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = []
    let bytes = 0
    for await (const piece of this.#stream(path, options)) {
      if (piece === undefined) return undefined
      bytes += piece.byteLength
      if (bytes > options.bytesMax) {
        throw new EdgeError(
          'body_too_large',
          `Cannot take "${path}": it has more than ${options.bytesMax} bytes`,
        )
      }
      pieces.push(piece)
    }
    return Buffer.concat(pieces)
  }

  /** One body, which is there as a whole. */
  async put(path: string, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    try {
      const response = await fetch(`${this.#url}${path}`, {
        method: 'PUT',
        headers: this.#headers,
        body: bytes,
        signal: AbortSignal.any([signal, AbortSignal.timeout(PUT_MS_MAX)]),
        redirect: 'error',
        ...(Object.keys(this.#tls).length === 0 ? {} : { tls: { ...this.#tls } }),
      })
      const text = await response.text()
      if (response.ok) return
      throw new EdgeError(
        'peer_failed',
        `Cannot bring "${path}": the registry answers ${response.status}: ${text.slice(0, 500)}`,
      )
    } catch (cause) {
      if (cause instanceof EdgeError) throw cause
      signal.throwIfAborted()
      throw new EdgeError('peer_failed', `Cannot bring "${path}": ${messageOf(cause)}`, { cause })
    }
  }

  async places(index: string, signal: AbortSignal): Promise<Place[]> {
    const bytes = await this.fetchWhole(`/v1/indexes/${index}/places`, { bytesMax: PLACES_BYTES_MAX, signal })
    if (bytes === undefined)
      throw new EdgeError('peer_failed', `Cannot fetch chunks: the registry has no index ${index}`)
    try {
      return Places.parse(JSON.parse(Buffer.from(bytes).toString())).places
    } catch (cause) {
      throw new EdgeError(
        'peer_failed',
        `Cannot read where the chunks of ${index} lie: ${messageOf(cause)}`,
        { cause },
      )
    }
  }

  /** Bytes of a pack, as they come. */
  async *range(
    pack: string,
    { start, end, signal }: { start: number; end: number; signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#stream(`/v1/packs/${pack}`, {
      signal,
      range: `bytes=${start}-${end - 1}`,
    })) {
      if (piece === undefined)
        throw new EdgeError('peer_failed', `Cannot fetch the pack ${pack}: the registry does not have it`)
      yield piece
    }
  }

  /** Gives undefined once, and nothing else, where there is no such thing. */
  async *#stream(
    path: string,
    options: { signal: AbortSignal; range?: string },
  ): AsyncGenerator<Uint8Array | undefined> {
    const watch = new Watchdog(options.signal)
    try {
      const response = await fetch(`${this.#url}${path}`, {
        headers: { ...this.#headers, ...(options.range === undefined ? {} : { range: options.range }) },
        signal: watch.signal,
        redirect: 'error',
        ...(Object.keys(this.#tls).length === 0 ? {} : { tls: { ...this.#tls } }),
      })
      if (response.status === 404) {
        yield undefined
        return
      }
      const expected = options.range === undefined ? 200 : 206
      if (response.status !== expected) {
        throw new EdgeError(
          'peer_failed',
          `Cannot fetch "${path}": the registry answers ${response.status}, expected ${expected}`,
        )
      }
      for await (const piece of response.body ?? []) {
        watch.pet()
        yield piece
        watch.pet()
      }
    } catch (cause) {
      if (cause instanceof EdgeError) throw cause
      options.signal.throwIfAborted()
      throw new EdgeError('peer_failed', `Cannot fetch "${path}": ${messageOf(cause)}`, { cause })
    } finally {
      watch.stop()
    }
  }
}

/** Fires when nothing has happened for too long: a half-open connection says nothing, for ever. */
class Watchdog {
  readonly signal: AbortSignal
  readonly #silent = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#silent.signal])
    this.pet()
  }

  pet(): void {
    this.stop()
    this.#timer = setTimeout(
      () => this.#silent.abort(new Error(`nothing came for ${SILENCE_MS_MAX / 1000} s`)),
      SILENCE_MS_MAX,
    )
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
