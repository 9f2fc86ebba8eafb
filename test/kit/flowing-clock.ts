import type { Clock } from '../../src/kit/clock.ts'

interface Sleeper {
  readonly wakeMs: number
  readonly wake: () => void
}

/** A clock that jumps to whatever is waited for next, as soon as nothing else is left to do. */
export class FlowingClock implements Clock {
  #ms: number
  #sleepers: Sleeper[] = []
  #isFlowing = false

  constructor(startMs = 1_750_000_000_000) {
    this.#ms = startMs
  }

  now(): number {
    return this.#ms
  }

  elapsed(): number {
    return this.#ms
  }

  advance(ms: number): void {
    this.#ms += ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const sleeper = { wakeMs: this.#ms + ms, wake: resolve }
      this.#sleepers.push(sleeper)
      const cut = () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper)
        resolve()
      }
      signal?.addEventListener('abort', cut, { once: true })
      this.#flow()
    })
  }

  #flow(): void {
    if (this.#isFlowing) return
    this.#isFlowing = true
    setImmediate(() => {
      this.#isFlowing = false
      const [next] = this.#sleepers.toSorted((a, b) => a.wakeMs - b.wakeMs)
      if (next === undefined) return
      this.#sleepers = this.#sleepers.filter((each) => each !== next)
      this.#ms = Math.max(this.#ms, next.wakeMs)
      next.wake()
      if (this.#sleepers.length > 0) this.#flow()
    })
  }
}
