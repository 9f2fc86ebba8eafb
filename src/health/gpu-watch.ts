import type { Clock } from '../kit/clock.ts'
import { logger } from '../kit/log.ts'
import type { GpuReading, GpuSample } from './gpu-sample.ts'

declare const LIMPET_GPU_THREAD: string | undefined

/** Where the thread's code is: beside this file in a checkout; in the binary `scripts/build.ts` says where. */
const GPU_THREAD =
  typeof LIMPET_GPU_THREAD === 'string' ? LIMPET_GPU_THREAD : new URL('./gpu-thread.ts', import.meta.url).href

/** Who scrapes waits no longer for GPUs; the next one may have them. */
const ANSWER_MS_MAX = 1000

/**
 * NVIDIA's GPUs, asked when somebody wants to know and on a thread of their own: a driver that hangs costs its
 * figures, and nothing else. Where there is no NVIDIA library there are no GPUs, and nobody asks again.
 */
export class GpuWatch {
  /** Why there are no figures, for doctor. */
  problem: string | undefined
  readonly #library: string
  readonly #clock: Clock
  #thread: Worker | undefined
  #asked: Promise<GpuReading> | undefined
  readonly #log = logger('health')

  constructor(options: { library: string; clock: Clock }) {
    this.#library = options.library
    this.#clock = options.clock
  }

  /** A sample of each GPU; none where there are none, or where they do not answer in time. */
  async sample(): Promise<readonly GpuSample[]> {
    // Without a library nobody asks again; while a question hangs nobody waits for it a second time.
    const isHopeless = this.#thread === undefined || this.#asked !== undefined
    if (this.problem !== undefined && isHopeless) return []
    this.#asked ??= this.#ask()
    const stop = new AbortController()
    const late = this.#clock.sleep(ANSWER_MS_MAX, stop.signal).then(() => undefined)
    const reading = await Promise.race([this.#asked, late])
    stop.abort()
    if (reading === undefined) return this.#note(`no answer within ${ANSWER_MS_MAX} ms`)
    if ('problem' in reading) return this.#note(reading.problem)
    this.problem = undefined
    return reading.gpus
  }

  stop(): void {
    this.#thread?.terminate()
    this.#thread = undefined
  }

  #ask(): Promise<GpuReading> {
    const { promise, resolve } = Promise.withResolvers<GpuReading>()
    this.#thread ??= new Worker(GPU_THREAD, { ref: false })
    const thread = this.#thread
    thread.onmessage = ({ data }: MessageEvent<GpuReading>) => {
      this.#asked = undefined
      // Without the library there is nothing left for the thread to do.
      if ('problem' in data) this.stop()
      resolve(data)
    }
    thread.onerror = ({ message }) => {
      this.#asked = undefined
      this.stop()
      resolve({ problem: message })
    }
    thread.postMessage({ library: this.#library })
    return promise
  }

  #note(problem: string): readonly [] {
    if (problem !== this.problem) this.#log.info('health.no_gpu_figures', { reason: problem })
    this.problem = problem
    return []
  }
}
