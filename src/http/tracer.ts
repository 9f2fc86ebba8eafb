import type { RequestTimes } from '../inference/statistics.ts'
import type { Clock } from '../kit/clock.ts'
import type { Json } from './fields.ts'
import { TraceFile, type WriteTraces } from './trace-file.ts'
import { TraceSettings } from './trace-settings.ts'

const FILE_BYTES_MAX = 16 * 1024 ** 2

/** Triton's names, those of them that happen here. */
type Mark =
  | 'HTTP_RECV_START'
  | 'HTTP_RECV_END'
  | 'REQUEST_START'
  | 'QUEUE_START'
  | 'COMPUTE_START'
  | 'COMPUTE_INPUT_END'
  | 'COMPUTE_OUTPUT_START'
  | 'COMPUTE_END'
  | 'REQUEST_END'
  | 'HTTP_SEND_START'
  | 'HTTP_SEND_END'

interface Sampling {
  readonly rate: number
  readonly frequency: number
  seen: number
  /** How many more are to be traced; infinite without a bound. */
  left: number
}

/** One request that is being traced. */
export class Trace {
  readonly #clock: Clock
  readonly #timestamps: { name: Mark; ns: number }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get timestamps(): readonly { readonly name: Mark; readonly ns: number }[] {
    return this.#timestamps
  }

  mark(...names: readonly Mark[]): void {
    const atMs = this.#clock.elapsed()
    for (const name of names) this.#add(name, atMs)
  }

  /** What the lane measured, told backwards from now: a request that was answered from memory has no run. */
  run(times: RequestTimes | undefined): void {
    if (times === undefined) return
    const endMs = this.#clock.elapsed()
    const outputMs = endMs - times.outputMs
    const inputMs = outputMs - times.inferMs
    this.#add('COMPUTE_START', inputMs - times.inputMs)
    this.#add('COMPUTE_INPUT_END', inputMs)
    this.#add('COMPUTE_OUTPUT_START', outputMs)
    this.#add('COMPUTE_END', endMs)
  }

  #add(name: Mark, atMs: number): void {
    this.#timestamps.push({ name, ns: Math.round(atMs * 1e6) })
  }
}

/**
 * Triton's trace extension: every so many-th request of a model, with the moments at which it got on, in a file that
 * Triton's own summary reads. Off until a client turns it on; then nearly every request costs a comparison.
 */
export class Tracer {
  readonly #settings: TraceSettings
  readonly #clock: Clock
  readonly #file: TraceFile
  readonly #samplings = new Map<string | undefined, Sampling>()
  #id = 0

  constructor(options: { path: string; clock: Clock; write: WriteTraces; bytesMax?: number }) {
    this.#clock = options.clock
    this.#settings = new TraceSettings(options.path)
    const { path, write, bytesMax = FILE_BYTES_MAX } = options
    this.#file = new TraceFile({ path, write, bytesMax })
  }

  describe(model?: string): Json {
    return this.#settings.describe(model)
  }

  /** What was traced under the old settings is written down; counts begin anew. */
  update(changes: Json, model?: string): void {
    const scope = this.#settings.hasOwn(model) ? model : undefined
    this.#file.flush(this.#samplings.get(scope)?.frequency ?? 0)
    this.#settings.update(changes, model)
    this.#file.reset()
    this.#samplings.clear()
  }

  /** Undefined for a request that is not traced. */
  begin(model: string): Trace | undefined {
    if (!this.#settings.isOn || this.#file.isFull) return undefined
    const sampling = this.#samplingOf(model)
    if (sampling === undefined || sampling.left <= 0) return undefined
    sampling.seen += 1
    if (sampling.seen % sampling.rate !== 0) return undefined
    sampling.left -= 1
    return new Trace(this.#clock)
  }

  end(trace: Trace, of: { readonly model: string; readonly version: string }): void {
    this.#id += 1
    const id = this.#id
    const sampling = this.#samplingOf(of.model)
    const entries = [
      JSON.stringify({ id, model_name: of.model, model_version: of.version }),
      JSON.stringify({ id, timestamps: trace.timestamps }),
    ]
    this.#file.add(entries, sampling?.frequency ?? 0)
    // The last one: nobody should have to change a setting to see it.
    if (sampling?.left === 0) this.#file.flush(sampling.frequency)
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    this.#file.flush(this.#samplings.get(undefined)?.frequency ?? 0)
    await this.#file.settled()
  }

  #samplingOf(model: string): Sampling | undefined {
    const scope = this.#settings.hasOwn(model) ? model : undefined
    const known = this.#samplings.get(scope)
    if (known !== undefined) return known
    const { isOn, rate, count, frequency } = this.#settings.sampling(scope)
    if (!isOn) return undefined
    const sampling = { rate, frequency, seen: 0, left: count < 0 ? Number.POSITIVE_INFINITY : count }
    this.#samplings.set(scope, sampling)
    return sampling
  }
}
