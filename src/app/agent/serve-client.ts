import { stat } from 'node:fs/promises'
import type { Tensor } from '../../client/tensor.ts'
import { decodeAnswer, encodeRequest, HEADER_LENGTH } from '../../client/wire.ts'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { compareAnswer } from '../../ota/golden.ts'
import type { GoldenTolerance, InstalledAt, Measured, Replayed, ServePort } from '../../ota/ports.ts'
import { type RunnableSample, readGolden, toElements } from '../golden-tensors.ts'
import { readMeasured } from './serve-metrics.ts'

/** The serving process may be on its way back for so long. */
const RETURN_MS_MAX = 30_000
const PAUSE_MS = 200
/** So many times it may end while it loads a version; then that version is why. */
const ENDS_MAX = 2
const METRICS_MS_MAX = 5_000
const REPLAY_MS_MAX = 60_000

export interface ServeClientParts {
  readonly socket: string
  readonly basePath: string
  /** What restricted routes ask for. */
  readonly headers: Readonly<Record<string, string>>
  readonly clock: Clock
  /** Of an installed version. */
  readonly folder: (of: InstalledAt) => string
}

/** The data plane as its own HTTP API shows it, on the socket of this device: Triton's words and nothing else. */
export class ServeClient implements ServePort {
  readonly #parts: ServeClientParts

  constructor(parts: ServeClientParts) {
    this.#parts = parts
  }

  async isAlive(signal: AbortSignal): Promise<boolean> {
    return await this.#untilAnswered(() => this.#send('GET', '/v2/health/live', signal), signal).then(
      ({ ok }) => ok,
      () => false,
    )
  }

  /** Every model that should be served is. */
  async isReady(signal: AbortSignal): Promise<boolean> {
    return await this.#send('GET', '/v2/health/ready', signal).then(
      ({ ok }) => ok,
      () => false,
    )
  }

  /** What it answers, as text or JSON; at once or not at all. */
  async ask(method: string, path: string, signal: AbortSignal, body?: object): Promise<unknown> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(METRICS_MS_MAX)])
    const sent = body === undefined ? {} : { body: new TextEncoder().encode(JSON.stringify(body)) }
    const answer = await this.#send(method, path, limited, sent)
    const isJson = answer.headers.get('content-type')?.includes('json') === true
    const said: unknown = isJson ? await answer.json() : await answer.text()
    if (answer.ok) return said
    const { error } = said as { error?: unknown }
    throw new EdgeError(
      'peer_failed',
      `The data plane answers ${answer.status}: ${String(error ?? said).slice(0, 2000)}`,
    )
  }

  /** What serve says no to is the version's fault; that it is not there for a while is not. */
  async load(name: string, version: string, signal: AbortSignal): Promise<void> {
    const path = `/v2/repository/models/${encodeURIComponent(name)}/load`
    const answer = await this.#untilAnswered(() => this.#send('POST', path, signal), signal)
    const text = await answer.text()
    if (!answer.ok)
      throw new EdgeError('model_invalid', `Cannot serve "${name}" ${version}: ${text.slice(0, 2000)}`)
    const versionPath = `/v2/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}/ready`
    const ready = await this.#untilAnswered(() => this.#send('GET', versionPath, signal), signal)
    if (ready.ok) return
    throw new EdgeError('model_invalid', `Cannot serve "${name}" ${version}: it was loaded and is not ready`)
  }

  async unload(name: string, signal: AbortSignal): Promise<void> {
    const path = `/v2/repository/models/${encodeURIComponent(name)}/unload`
    // That it has no such model is as good.
    await this.#untilAnswered(() => this.#send('POST', path, signal), signal)
  }

  async measure(name: string, version: string, signal: AbortSignal): Promise<Measured | undefined> {
    const text = await this.readMetrics(signal)
    try {
      if (text === undefined) return undefined
      return readMeasured(text, { name, version, start: await this.#start() })
    } catch {
      signal.throwIfAborted()
      return undefined
    }
  }

  /** Undefined while nobody answers. */
  async readMetrics(signal: AbortSignal): Promise<string | undefined> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(METRICS_MS_MAX)])
      const answer = await this.#send('GET', '/metrics', limited)
      return answer.ok ? await answer.text() : undefined
    } catch {
      signal.throwIfAborted()
      return undefined
    }
  }

  async replay(of: InstalledAt, golden: GoldenTolerance, signal: AbortSignal): Promise<Replayed> {
    const samples = await readGolden(`${this.#parts.folder(of)}/${golden.path}`)
    let wrong = 0
    let reason = ''
    for (const [index, sample] of samples.entries()) {
      const problem = await this.#replayOne(of, { sample, golden, signal })
      if (problem === undefined) continue
      wrong += 1
      if (reason === '') reason = `golden sample ${index}: ${problem}`
    }
    return { samples: samples.length, wrong, reason }
  }

  async #replayOne(
    of: InstalledAt,
    { sample, golden, signal }: { sample: RunnableSample; golden: GoldenTolerance; signal: AbortSignal },
  ): Promise<string | undefined> {
    const name = of.model.slice(of.model.lastIndexOf('/') + 1)
    const path = `/v2/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(of.version)}/infer`
    const { body, headerBytes } = encodeRequest(sample.inputs as readonly Tensor[])
    const sent = { body, headers: { [HEADER_LENGTH]: String(headerBytes) } }
    const { answer, bytes } = await this.#sendWhole(path, sent, signal)
    // Too busy, or not ready yet: it says nothing about the answer.
    if (answer.status === 429 || answer.status === 503)
      throw new EdgeError('peer_failed', `Cannot replay: ${answer.status}`)
    if (!answer.ok) return `answered ${answer.status}: ${Buffer.from(bytes).toString().slice(0, 500)}`
    const { outputs } = decodeAnswer(bytes, answer.headers.get(HEADER_LENGTH))
    return compareAnswer(sample.expected, outputs.map(toElements), golden)?.reason
  }

  /** With all that is answered. A process that ends meanwhile, or takes too long, is no fault of this one. */
  async #sendWhole(
    path: string,
    sent: { body: Uint8Array<ArrayBuffer>; headers: Record<string, string> },
    signal: AbortSignal,
  ): Promise<{ answer: Response; bytes: Uint8Array }> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(REPLAY_MS_MAX)])
      const answer = await this.#send('POST', path, limited, sent)
      return { answer, bytes: new Uint8Array(await answer.arrayBuffer()) }
    } catch (cause) {
      signal.throwIfAborted()
      throw new EdgeError('peer_failed', `The serving process does not answer: ${messageOf(cause)}`, {
        cause,
      })
    }
  }

  /** Another one for each start of the process: it makes its socket anew. */
  async #start(): Promise<string> {
    const { ino, ctimeMs } = await stat(this.#parts.socket)
    return `${ino}-${ctimeMs}`
  }

  async #untilAnswered(ask: () => Promise<Response>, signal: AbortSignal): Promise<Response> {
    const { clock } = this.#parts
    const began = clock.elapsed()
    let ends = 0
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        signal.throwIfAborted()
        if (isCutOff(error)) ends += 1
        if (ends >= ENDS_MAX) {
          throw new EdgeError(
            'model_invalid',
            `The serving process ended ${ends} times while it was asked: ${messageOf(error)}`,
            { cause: error },
          )
        }
        if (clock.elapsed() - began > RETURN_MS_MAX) {
          throw new EdgeError('peer_failed', `The serving process does not answer: ${messageOf(error)}`, {
            cause: error,
          })
        }
        await clock.sleep(PAUSE_MS, signal)
      }
    }
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal,
    more: { body?: Uint8Array<ArrayBuffer>; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { socket, basePath, headers } = this.#parts
    return await fetch(`http://localhost${basePath}${path}`, {
      method,
      unix: socket,
      signal,
      // A connection that is kept leads to a process that may have ended since.
      keepalive: false,
      headers: { ...headers, ...more.headers },
      ...(more.body === undefined ? {} : { body: more.body }),
      // Bun's own limit would cut off what loads for long.
      timeout: false,
    } as RequestInit)
  }
}

/** It was there, and went away with the question. */
function isCutOff(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === 'ECONNRESET' || code === 'ConnectionClosed'
}
