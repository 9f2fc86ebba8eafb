import { dlopen } from 'bun:ffi'

/**
 * Lets others go first, by so much more than before: on Linux nice(2) is about the calling thread, and threads that it
 * starts later. Where it is refused, nothing is lost but the courtesy.
 */
export function beNicer(by: number): void {
  const libc = dlopen('libc.so.6', { nice: { args: ['i32'], returns: 'i32' } })
  libc.symbols.nice(by)
}
