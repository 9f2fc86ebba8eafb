/** A registry's HTTP API as publishers use it, in memory, with the real repository behind its metadata. */

import { decodeChunkIndex } from '../../src/store/chunks/chunk-index.ts'
import { decodePackTable, type PackEntry } from '../../src/store/chunks/pack.ts'
import { decodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { TrustRefusal } from '../../src/trust/refusal.ts'
import { Fleet, hash } from '../trust/fleet.ts'

type Handler = (match: RegExpExecArray, request: Request) => Promise<Response> | Response

export class FakeRegistry {
  readonly fleet: Fleet
  readonly packs = new Map<string, Uint8Array>()
  readonly chunks = new Map<string, PackEntry & { pack: string }>()
  readonly assignments = new Map<string, Uint8Array>()
  /** "METHOD path" of each request. */
  readonly requests: string[] = []
  /** Answers so many uploads of packs with an error of the server. */
  failPacks = 0
  readonly apiKey = 'secret-of-a-publisher'
  readonly #server: ReturnType<typeof Bun.serve>

  constructor(fleet = new Fleet()) {
    this.fleet = fleet
    this.#server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => this.#answer(request) })
  }

  get url(): string {
    return this.#server.url.href
  }

  async stop(): Promise<void> {
    await this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const path = decodeURIComponent(new URL(request.url).pathname)
    this.requests.push(`${request.method} ${path}`)
    for (const [method, pattern, handle] of this.#routes) {
      const match = request.method === method ? pattern.exec(path) : null
      if (match === null) continue
      const isOpen = path.startsWith('/tuf/')
      if (!isOpen && request.headers.get('authorization') !== `Bearer ${this.apiKey}`)
        return refuse(401, 'unauthorized')
      return await handle(match, request)
    }
    return refuse(404, 'route_unknown')
  }

  readonly #routes: readonly [method: string, pattern: RegExp, handle: Handler][] = [
    ['GET', /^\/tuf\/(.+)$/, async ([, name = '']) => bytesOr404(await this.fleet.fetchMetadata(name))],
    ['GET', /^\/v1\/objects\/(.+)$/, ([, name = '']) => bytesOr404(this.fleet.objects.get(name))],
    [
      'PUT',
      /^\/v1\/objects\/(.+)$/,
      async ([, name = ''], request) => {
        const bytes = await request.bytes()
        if (hash(bytes) !== name) return refuse(400, 'input_invalid')
        this.fleet.objects.set(name, bytes)
        return Response.json({ sha256: name }, { status: 201 })
      },
    ],
    [
      'POST',
      /^\/v1\/chunks\/missing$/,
      async (_match, request) => {
        const { sha256 } = (await request.json()) as { sha256: string[] }
        return Response.json({ missing: sha256.filter((name) => !this.chunks.has(name)) })
      },
    ],
    ['POST', /^\/v1\/packs$/, (_match, request) => this.#takePack(request)],
    ['GET', /^\/v1\/packs\/(.+)$/, ([, name = ''], request) => this.#answerRange(name, request)],
    ['GET', /^\/v1\/indexes\/(.+)\/places$/, ([, name = '']) => this.#answerPlaces(name)],
    ['GET', /^\/v1\/assignments\/(.+)$/, ([, device = '']) => bytesOr404(this.assignments.get(device))],
    ['GET', /^\/v1\/metadata\/.+\/seen$/, () => Response.json({ version: 0 })],
    [
      'POST',
      /^\/v1\/metadata\/(.+)$/,
      async ([, role = ''], request) => {
        try {
          await this.fleet.registry.accept(role, await request.bytes())
          return Response.json({ role }, { status: 201 })
        } catch (error) {
          if (!(error instanceof TrustRefusal)) throw error
          return Response.json(
            { error: error.code, reason: error.reason, message: error.message },
            { status: 403 },
          )
        }
      },
    ],
  ]

  async #takePack(request: Request): Promise<Response> {
    if (this.failPacks > 0) {
      this.failPacks -= 1
      return refuse(503, 'storage_failed')
    }
    const bytes = await request.bytes()
    const pack = hash(bytes)
    for (const entry of decodePackTable(bytes)) {
      const stored = bytes.subarray(entry.offset, entry.offset + entry.storedBytes)
      if (hash(decodeChunk({ encoding: entry.encoding, bytes: stored }, entry.length)) !== entry.sha256)
        return refuse(400, 'input_invalid')
      this.chunks.set(entry.sha256, { ...entry, pack })
    }
    this.packs.set(pack, bytes)
    return Response.json({ sha256: pack }, { status: 201 })
  }

  #answerRange(name: string, request: Request): Response {
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '') ?? []
    const bytes = this.packs.get(name)?.slice(Number(start), Number(end) + 1)
    return bytes === undefined ? refuse(404, 'not_found') : new Response(bytes, { status: 206 })
  }

  #answerPlaces(name: string): Response {
    const index = decodeChunkIndex(this.fleet.objects.get(name) ?? new Uint8Array())
    const places = Array.from({ length: index.count }, (_, chunk) => {
      const found = this.chunks.get(index.sha256(chunk))
      return found === undefined
        ? null
        : {
            pack: found.pack,
            offset: found.offset,
            stored_bytes: found.storedBytes,
            encoding: found.encoding,
          }
    })
    return Response.json({ places })
  }
}

function bytesOr404(bytes: Uint8Array | undefined): Response {
  return bytes === undefined ? refuse(404, 'not_found') : new Response(bytes as Uint8Array<ArrayBuffer>)
}

function refuse(status: number, error: string): Response {
  return Response.json({ error, message: `refused: ${error}` }, { status })
}
