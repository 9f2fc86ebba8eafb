import type { Clock } from '../../src/kit/clock.ts'

/** A clock that goes on by itself only while somebody sleeps. */
export class SleepyClock implements Clock {
  #ms = 0

  now(): number {
    return this.#ms
  }

  elapsed(): number {
    return this.#ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted !== true) this.#ms += ms
    return Promise.resolve()
  }

  advance(ms: number): void {
    this.#ms += ms
  }
}
