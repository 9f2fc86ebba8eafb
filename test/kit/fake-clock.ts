import type { Clock } from '../../src/kit/clock.ts'

/** A clock whose hands are turned by the test. */
export class FakeClock implements Clock {
  #ms = 0

  now(): number {
    return this.#ms
  }

  elapsed(): number {
    return this.#ms
  }

  sleep(_ms: number, _signal?: AbortSignal): Promise<void> {
    return Promise.reject(new Error('Nothing under this clock sleeps'))
  }

  advance(ms: number): void {
    this.#ms += ms
  }
}
