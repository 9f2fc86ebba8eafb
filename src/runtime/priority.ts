import { dlopen, type Pointer } from 'bun:ffi'
import { Memory } from './memory.ts'

/** The number of sched_setattr(2), for which older C libraries have no function. */
const SCHED_SETATTR: Readonly<Record<string, number>> = { x64: 314, arm64: 274 }
const ATTRIBUTES_BYTES = 48
const NICE_MAX = 19
/** The least that Linux takes (6.12 and newer; older ones have one length for all). */
const SLICE_NANOS = 100_000

const SYMBOLS = {
  nice: { args: ['i32'], returns: 'i32' },
  getpriority: { args: ['i32', 'i32'], returns: 'i32' },
  syscall: { args: ['i64', 'i64', 'ptr', 'i64'], returns: 'i64' },
} as const

/**
 * Lets others go first, by so much more than before, and soon: who wakes up need not wait for more than a tenth of a
 * millisecond, where it otherwise is one to three. On Linux this is about the calling thread, and threads that it starts
 * later. Where it is refused, nothing is lost but the courtesy.
 */
export function beNicer(by: number): void {
  const libc = dlopen('libc.so.6', SYMBOLS).symbols
  const nice = Math.min(libc.getpriority(0, 0) + by, NICE_MAX)
  const call = SCHED_SETATTR[process.arch]
  const attributes = describe(nice)
  const isSet = call !== undefined && Number(libc.syscall(call, 0, attributes.address as Pointer, 0)) === 0
  if (!isSet) libc.nice(by)
}

/** struct sched_attr: size, policy, flags, nice, priority, runtime, and two times that SCHED_OTHER has no use for. */
function describe(nice: number): Memory {
  const memory = new Memory(ATTRIBUTES_BYTES)
  const view = new DataView(memory.buffer)
  view.setUint32(0, ATTRIBUTES_BYTES, true)
  view.setInt32(16, nice, true)
  memory.setWord(3, SLICE_NANOS)
  return memory
}
