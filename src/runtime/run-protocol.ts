/**
 * How the main thread and its run threads share work: a ring of slot numbers in shared memory, from which whichever
 * thread is free takes the next. A slot holds the arguments of one native call, all of them addresses or sizes, so
 * nothing is copied between threads. Idle threads sleep in `Atomics.wait`; the main thread is woken through wake-line.ts,
 * unless `isWoken` says that it has been and has not looked yet.
 */

/** Calls under way or waiting to be taken, at most; what is beyond waits in the pool's own list. */
export const SLOTS = 64
/** More places than slots, so that a place is not written again before its reader has moved on. */
export const RING = 128

/** Positions in the Int32 control block. */
export const CONTROL = { tail: 0, head: 1, stop: 2, ready: 3, isWoken: 4, ring: 8, state: 8 + RING } as const
export const CONTROL_WORDS = CONTROL.state + SLOTS

export const STATE = { free: 0, queued: 1, done: 2 } as const

/** Positions within the numbers of a slot. */
export const SLOT = { operation: 0, args: 1, status: 9, tookMs: 10, busyMs: 11 } as const
export const SLOT_NUMBERS = 12

/** The native calls that may take long. */
export const OPERATIONS = [
  'Run',
  'CreateSession',
  'CreateSessionFromArray',
  'ReleaseSession',
  'BindInput',
  'RunWithBinding',
  'CopyTensors',
] as const
/** Several of them in a row, one program (program.ts): its address is the only argument. */
export const PROGRAM = OPERATIONS.length
export type Operation = (typeof OPERATIONS)[number] | 'Program'

/** What a thread is told when it starts. */
export interface ThreadStart {
  readonly control: SharedArrayBuffer
  readonly slots: SharedArrayBuffer
  readonly apiAddress: number
  readonly apiVersion: number
  /** The end of the wake line that threads write to. */
  readonly wakeFd: number
  /** How far others go first: 0 is not at all. */
  readonly nice: number
}
