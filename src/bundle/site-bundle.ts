import { stat } from 'node:fs/promises'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { TrustSource } from '../trust/client.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { Bundle, type GivenChunk, type WantedChunks } from './bundle.ts'

/** A way by which chunks come. */
export interface ChunkLine {
  readonly name: string
  fetch(request: WantedChunks): AsyncIterable<GivenChunk>
}

const LOG = logger('ota')

/**
 * The bundle that somebody has brought to this device, beside its line to the registry. Bytes are taken from it first,
 * because they are here; what is newest is asked of the line first, and of the bundle where the line is down.
 */
export class SiteBundle {
  readonly #path: string
  #open: { readonly mark: string; readonly bundle: Bundle | undefined } | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined where there is none, or none that is whole. */
  async current(): Promise<Bundle | undefined> {
    const file = await stat(this.#path).catch(() => undefined)
    const mark = file === undefined ? '' : `${file.ino} ${file.size} ${file.mtimeMs}`
    if (this.#open?.mark === mark) return this.#open.bundle
    const before = this.#open?.bundle
    this.#open = { mark, bundle: file === undefined ? undefined : await this.#tryOpen() }
    // A transfer that still reads from the one before goes on over the line, or begins anew with this one.
    await before?.close()
    return this.#open.bundle
  }

  async close(): Promise<void> {
    const { bundle } = this.#open ?? {}
    this.#open = undefined
    await bundle?.close()
  }

  trustSource(line: TrustSource): TrustSource {
    const { fetchTime } = line
    return {
      fetchMetadata: (name, bytesMax) =>
        this.#lineFirst(
          () => line.fetchMetadata(name, bytesMax),
          (bundle) => bundle.fetchMetadata(name, bytesMax),
        ),
      fetchObject: (sha256, bytesMax) =>
        this.fetchObject({ sha256, bytesMax }, () => line.fetchObject(sha256, bytesMax)),
      ...(fetchTime === undefined ? {} : { fetchTime: (nonce: string) => fetchTime.call(line, nonce) }),
    }
  }

  /** Named by its hash: where it comes from does not matter. */
  async fetchObject(
    { sha256, bytesMax }: { readonly sha256: string; readonly bytesMax: number },
    line: () => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    const bundle = await this.current()
    return (await bundle?.fetchObject(sha256, bytesMax)) ?? (await line())
  }

  async fetchAssignment(
    { device, bytesMax }: { readonly device: string; readonly bytesMax: number },
    line: () => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    return await this.#lineFirst(line, (bundle) => bundle.fetchAssignment(device, bytesMax))
  }

  /** What the bundle holds, and the rest over the line. */
  chunks(line: ChunkLine): ChunkLine {
    const held = (request: WantedChunks) => this.#held(request)
    return {
      name: line.name,
      async *fetch(request) {
        const wanted = new Set(request.wanted)
        for await (const given of held(request)) {
          wanted.delete(given.chunk)
          yield given
        }
        if (wanted.size > 0) yield* line.fetch({ ...request, wanted: [...wanted] })
      },
    }
  }

  /** As many as can be read: a medium that fails, or is pulled out, leaves the rest to the line. */
  async *#held(request: WantedChunks): AsyncGenerator<GivenChunk> {
    const bundle = await this.current()
    if (bundle === undefined) return
    try {
      yield* bundle.fetch(request)
    } catch (error) {
      request.signal.throwIfAborted()
      LOG.warn('ota.bundle_failed', { path: this.#path, reason: messageOf(error) })
    }
  }

  async #lineFirst(
    line: () => Promise<Uint8Array | undefined>,
    other: (bundle: Bundle) => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    try {
      return await line()
    } catch (error) {
      const bundle = error instanceof TrustRefusal ? undefined : await this.current()
      if (bundle === undefined) throw error
      return await other(bundle)
    }
  }

  async #tryOpen(): Promise<Bundle | undefined> {
    try {
      return await Bundle.open(this.#path)
    } catch (error) {
      LOG.warn('ota.bundle_refused', { path: this.#path, reason: messageOf(error) })
      return undefined
    }
  }
}
