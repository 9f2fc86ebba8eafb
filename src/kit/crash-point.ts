import { logger } from './log.ts'

/**
 * Every durable write passes here, before it takes effect and after: a test that kills the process at point 1, 2, 3 and
 * so on has seen every state that a power cut can leave behind.
 */
let passed = 0
let fatal: number | undefined

/** From now on the process ends by SIGKILL at its n-th crash point; undefined: it never does. */
export function armCrashPoints(at: number | undefined): void {
  passed = 0
  fatal = at
}

/** `what` reads `thing.what_has_happened`, and is the last line in the log. */
export function crashPoint(what: string): void {
  if (fatal === undefined) return
  passed += 1
  if (passed !== fatal) {
    logger('app').debug('app.durable_write', { number: passed, what })
    return
  }
  logger('app').warn('app.crash_point', { number: passed, what })
  // Nothing runs after this: no handler, no flush, no `finally`.
  process.kill(process.pid, 'SIGKILL')
}
