import { dlopen } from 'bun:ffi'

const PRIO_PROCESS = 0
const THIS_THREAD = 0

/**
 * Lets others go first: on Linux setpriority(2) is about the calling thread, and threads that it starts later. Where it
 * is refused, nothing is lost but the courtesy.
 */
export function beNice(nice: number): void {
  const libc = dlopen('libc.so.6', { setpriority: { args: ['i32', 'u32', 'i32'], returns: 'i32' } })
  libc.symbols.setpriority(PRIO_PROCESS, THIS_THREAD, nice)
}
