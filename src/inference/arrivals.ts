import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'

export interface WaitBounds {
  readonly waitMsMax: number
  /** Requests that wait for a lane at once, of all models together. */
  readonly waitItemsMax: number
}

/** Requests for a version that is on its way: they wait for it, not too many of them and not for too long. */
export class Arrivals {
  readonly #clock: Clock
  readonly #bounds: WaitBounds
  /** By model: what ends the wait of all who wait for it. */
  readonly #doors = new Map<string, PromiseWithResolvers<void>>()
  #waiting = 0

  constructor(clock: Clock, bounds: WaitBounds) {
    this.#clock = clock
    this.#bounds = bounds
  }

  get waiting(): number {
    return this.#waiting
  }

  /** Something has become of a version of the model: those who wait look again. */
  notify(model: string): void {
    this.#doors.get(model)?.resolve()
    this.#doors.delete(model)
  }

  /** Looks, and looks again after every change of the model, until there is something or looking throws. */
  async await<T>(model: string, look: () => T | undefined, signal: AbortSignal | undefined): Promise<T> {
    const { waitMsMax, waitItemsMax } = this.#bounds
    if (this.#waiting >= waitItemsMax) {
      throw new EdgeError(
        'queue_full',
        `Cannot wait for "${model}" to be loaded: ${this.#waiting} requests wait for models, at most ${waitItemsMax} (models.load_wait_items_max)`,
      )
    }
    this.#waiting += 1
    const done = new AbortController()
    const gone = goneOf(signal, done.signal)
    const timeUp = this.#clock.sleep(waitMsMax, done.signal).then(() => 'time is up' as const)
    try {
      for (;;) {
        const found = look()
        if (found !== undefined) return found
        const why = await Promise.race([this.#change(model), timeUp, gone])
        if (why === 'time is up') {
          const waited = `it was not loaded within ${waitMsMax} ms (models.load_wait_seconds_max)`
          throw new EdgeError('deadline_exceeded', `Cannot infer with "${model}": ${waited}`)
        }
        if (why === 'gone') throw new EdgeError('cancelled', `Cannot infer with "${model}": cancelled`)
      }
    } finally {
      this.#waiting -= 1
      done.abort()
    }
  }

  #change(model: string): Promise<void> {
    const door = this.#doors.get(model) ?? Promise.withResolvers<void>()
    this.#doors.set(model, door)
    return door.promise
  }
}

/** Resolves when the client goes away; never when there is none to. */
function goneOf(signal: AbortSignal | undefined, done: AbortSignal): Promise<'gone'> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve('gone')
    signal?.addEventListener('abort', () => resolve('gone'), { once: true, signal: done })
  })
}
