/** Somebody between a device and its registry who gives other bytes than the registry gave, over MQTT and HTTP alike. */
import { decodeFrame, encodeFrame, type Frame } from '../../src/link/frame.ts'
import { Topics } from '../../src/link/topics.ts'
import { type Passing, type PlainBroker, startPlainBroker } from '../kit/plain-broker.ts'

/** What a device asks for. Of chunks also by which way. */
export type Asked =
  | { readonly op: 'meta'; readonly name: string }
  | { readonly op: 'object'; readonly sha256: string }
  | { readonly op: 'assignment' | 'chunks' | 'pack' | 'other' }

/** What is given; undefined: that there is no such thing. */
export type Lie = (asked: Asked, truth: Uint8Array | undefined) => Uint8Array | undefined

const topics = new Topics()
const TRUTH: Lie = (_, truth) => truth

export class Middleman {
  /** What is said from now on. */
  lie: Lie = TRUTH
  /** Questions over MQTT that are being answered. */
  readonly #asked = new Map<string, Asked>()
  #broker: PlainBroker | undefined
  #proxy: Bun.Server<undefined> | undefined

  /** The registry comes to this broker as well. */
  async listen(): Promise<{ mqttUrl: string }> {
    this.#broker = await startPlainBroker({ change: (passing) => this.#change(passing) })
    return { mqttUrl: this.#broker.url }
  }

  /** Where devices find the registry that is at `url`. */
  standBefore(url: string): string {
    this.#proxy = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => this.#pass(request, url),
    })
    return this.#proxy.url.href.replace(/\/$/, '')
  }

  tellTruth(): void {
    this.lie = TRUTH
  }

  /** Says that there is new metadata: the device looks, and finds what it is given. */
  nudge(): void {
    this.#broker?.publish(topics.registryMeta, '{}')
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop(true)
    await this.#broker?.stop()
  }

  #change(passing: Passing): void {
    const up = topics.parseUp(passing.topic)
    const [, device] = /\/d\/([^/]+)\/rsp$/.exec(passing.topic) ?? []
    if (up?.kind === 'req') this.#note(up.device, JSON.parse(String(passing.payload)))
    else if (device !== undefined) passing.payload = this.#answer(device, passing.payload as Buffer)
  }

  #note(device: string, request: Asked & { rid: number }): void {
    this.#asked.set(`${device} ${request.rid}`, request)
  }

  #answer(device: string, payload: Buffer): Buffer {
    const frame = decodeFrame(payload)
    const asked = this.#asked.get(`${device} ${frame.request}`)
    if (asked === undefined || frame.kind === 'end' || frame.kind === 'ack') return payload
    return Buffer.from(encodeFrame(this.#tell(asked, frame)))
  }

  #tell(asked: Asked, frame: Frame): Frame {
    const bytes = this.lie(asked, frame.kind === 'missing' ? undefined : frame.bytes)
    if (bytes === undefined) return { ...frame, kind: 'missing', bytes: new Uint8Array(0) }
    return { ...frame, kind: 'piece', bytes }
  }

  async #pass(request: Request, registry: string): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    const answer = await fetch(`${registry}${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      ...(request.method === 'GET' ? {} : { body: await request.bytes() }),
    })
    const truth = await answer.bytes()
    const given = this.lie(askedIn(pathname), answer.ok ? truth : undefined)
    if (given === undefined) return new Response(truth, { status: answer.ok ? 404 : answer.status })
    return new Response(Uint8Array.from(given), { status: answer.ok ? answer.status : 200 })
  }
}

function askedIn(path: string): Asked {
  const [, version, kind, name = ''] = path.split('/')
  if (version === 'tuf') return { op: 'meta', name: kind ?? '' }
  if (kind === 'objects') return { op: 'object', sha256: name }
  if (kind === 'assignments') return { op: 'assignment' }
  return { op: kind === 'packs' ? 'pack' : 'other' }
}
