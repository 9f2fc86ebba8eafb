import { type Clock, systemClock } from '../../src/kit/clock.ts'

/** Waits a hundredth of what it is asked to: for code whose patience is measured in seconds. */
const HASTE = 100

export class HastyClock implements Clock {
  now(): number {
    return systemClock.now()
  }

  elapsed(): number {
    return systemClock.elapsed()
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms / HASTE, signal)
  }
}
